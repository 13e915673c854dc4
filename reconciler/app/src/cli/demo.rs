//! `berqenas demo`: the whole story on two small databases.

use std::path::PathBuf;

use super::{Exit, Session, bars::Bars, bidirectional, conflicts, history, plan, status};
use crate::{
    engine::{
        self, Engine,
        request::{ConflictFilter, EngineOptions, PlanRequest, SyncRequest},
    },
    error::EngineError,
};

/// Build two small databases, write on both sides, and bring them in step
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to build it in; an earlier demo there is replaced
    #[arg(long, value_name = "DIR", default_value = "berqenas-demo")]
    dir: PathBuf,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let screen = &session.screen;
    let say = |text: String| if screen.is_json() { Ok(()) } else { screen.text(&text) };
    let look = screen.look();
    let heading = |text: &str| format!("\n{}\n", look.paint.bold(&format!("── {text}")));
    let list = |lines: &[String]| lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");

    let folder = engine::demo_build(&args.dir).await?;
    say(format!("{}{}", heading(&format!("A small ERP in {}", args.dir.display())), list(&folder.contents)))?;
    let sync = folder.sync.as_str();
    let engine = Engine::open(EngineOptions { specs: folder.specs.clone(), state: None })?;

    say(heading("First sync"))?;
    engine.prepare(sync, None, true).await?;
    let bars = Bars::new(screen.is_json(), false);
    let first = engine.sync(sync, &SyncRequest::default(), &bars).await?;
    drop(bars);
    say(bidirectional::render(&first, &look))?;

    let edits = engine::demo_edit(&args.dir).await?;
    say(format!("{}{}", heading("People write on both sides"), list(&edits)))?;

    say(heading("What a sync would do: berqenas plan"))?;
    let request = PlanRequest { row_limit: Some(plan::DEFAULT_LIMIT), ..PlanRequest::default() };
    for report in engine.plan(Some(sync), &request).await? {
        say(plan::render(&report, plan::DEFAULT_LIMIT, &look))?;
    }

    say(heading("And does: berqenas sync bidirectional"))?;
    let bars = Bars::new(screen.is_json(), false);
    let outcome = engine.sync(sync, &SyncRequest::default(), &bars).await?;
    drop(bars);
    screen.answer(&outcome.report, |look| bidirectional::render(&outcome, look))?;

    say(heading("berqenas sync status"))?;
    // Times in words are told from a now that is later than the run.
    say(status::render(&engine.status(sync).await?, &screen.look()))?;
    say(heading("berqenas sync history"))?;
    say(history::render(&engine.history(sync, 10).await?, &look))?;
    say(heading("berqenas sync conflicts"))?;
    say(conflicts::render_all(&engine.conflicts(sync, &ConflictFilter::default()).await?, &look))?;

    let specs = folder.specs.display();
    say(format!(
        "{}  Change rows in either database with any SQLite client, then:\n  \
         berqenas --specs {specs} plan {sync}\n  \
         berqenas --specs {specs} sync bidirectional {sync}\n  \
         berqenas --specs {specs} sync conflicts {sync} --json\n  \
         and edit the spec in {specs}: another strategy, a table less, a column renamed.",
        heading("What to try next")
    ))?;
    Ok(Exit::Done)
}

//! `berqenas demo`: the whole story on two small databases.

use std::path::{Path, PathBuf};

use super::{Exit, Session, bars::Bars, bidirectional, conflicts, history, plan, status};
use crate::{
    engine::{
        self, Engine,
        outcome::DemoFolder,
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
    let engine = Engine::open(EngineOptions { specs: folder.specs.clone(), state: None, cache: None })?;

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

    say(heading("What it does: berqenas sync bidirectional"))?;
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

    say(format!("{}{}", heading("What to try next"), what_next(&session.program, &args.dir, &folder)))?;
    Ok(Exit::Done)
}

/// Commands that work as they stand: the program as it was called, the folder as it was given.
fn what_next(program: &str, dir: &Path, folder: &DemoFolder) -> String {
    let berqenas = format!("{} --specs {}", quoted(program), quoted(&folder.specs.display().to_string()));
    let local = quoted(&dir.join("local.db").display().to_string());
    let (sync, edit) = (&folder.sync, &folder.next_edit);
    format!(
        "  Write on either side, with any SQLite client:\n    \
         sqlite3 {local} \"{edit}\"\n  \
         See what that means, and do it:\n    \
         {berqenas} plan {sync}\n    \
         {berqenas} sync bidirectional {sync}\n  \
         Look closer: the log with both full rows of each conflict, both databases, what has been said above:\n    \
         {berqenas} sync conflicts {sync} --date today --json\n    \
         {berqenas} sync test-connection {sync}\n    \
         {berqenas} sync status {sync}\n  \
         Edit {}: another strategy, a table less. Then:\n    \
         {berqenas} validate\n  \
         Your own databases: README.md, \"Your first sync\".",
        folder.specs.join(format!("{sync}.yaml")).display(),
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "_-./+,@%:".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_the_shell() {
        let check = |word: &str, expected: &str| assert_eq!(quoted(word), expected);
        check("target/release/berqenas", "target/release/berqenas");
        check("my demo", "'my demo'");
        check("it's", r"'it'\''s'");
        check("", "''");
    }
}

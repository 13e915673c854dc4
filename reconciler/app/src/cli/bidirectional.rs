//! `berqenas sync bidirectional`: one run, now.

use std::time::Instant;

use berqenas_core::{spec::StrategyName, value::Side};

use super::{Exit, Session, bars::Bars, plan, screen::Look, show};
use crate::{
    engine::{
        Engine,
        outcome::{SyncOutcome, SyncReport},
        request::{PlanRequest, SyncRequest},
    },
    error::EngineError,
};

/// Bring both sides in step, once
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,

    /// The conflict strategy of this run, instead of the spec's
    #[arg(long, value_parser = show::strategy_parser(), value_name = "STRATEGY")]
    strategy: Option<StrategyName>,

    /// Only these tables, by their names in the spec
    #[arg(long, value_delimiter = ',', value_name = "TABLES")]
    tables: Vec<String>,

    /// Show what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Read every row: finds hard deletes, and writes that left updated_at alone
    #[arg(long)]
    full_sync: bool,

    /// Tell more while at it
    #[arg(long)]
    pub(super) verbose: bool,

    /// After a database was restored or swapped: the side that is right
    #[arg(long, value_parser = show::side_parser(), value_name = "SIDE", conflicts_with = "dry_run")]
    trust: Option<Side>,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let engine = session.engine()?;
    if args.dry_run {
        return dry_run(args, &engine, session).await;
    }
    let request = SyncRequest {
        tables: args.tables.clone(),
        strategy: args.strategy,
        full_sync: args.full_sync,
        trust: args.trust,
        ..SyncRequest::default()
    };
    let bars = Bars::new(session.screen.is_json(), args.verbose);
    let outcome = engine.sync_until(&args.name, &request, &bars.stop(), &bars).await?;
    drop(bars);
    report(&outcome, session)
}

/// People see the plan; programs get the API's answer, with the counts the run would have.
async fn dry_run(args: &Args, engine: &Engine, session: &Session) -> Result<Exit, EngineError> {
    let shown = if session.screen.is_json() { 0 } else { plan::DEFAULT_LIMIT };
    let request = PlanRequest { tables: args.tables.clone(), strategy: args.strategy, full_sync: args.full_sync, row_limit: Some(shown) };
    let begun = Instant::now();
    for plan in engine.plan(Some(&args.name), &request).await? {
        let answer = SyncReport::of_plan(&plan, begun.elapsed());
        session.screen.answer(&answer, |look| format!("{}\nDry run: nothing was written.", plan::render(&plan, shown, look)))?;
    }
    Ok(Exit::Done)
}

/// Prints what a run did, and says how the command ends.
pub(super) fn report(outcome: &SyncOutcome, session: &Session) -> Result<Exit, EngineError> {
    for warning in &outcome.warnings {
        session.screen.warning(warning);
    }
    session.screen.answer(&outcome.report, |look| render(outcome, look))?;
    Ok(exit(outcome))
}

fn exit(outcome: &SyncOutcome) -> Exit {
    if !outcome.report.success {
        Exit::NotReady
    } else if outcome.conflicts_waiting > 0 || outcome.quarantined > 0 {
        Exit::Waiting
    } else {
        Exit::Done
    }
}

pub(super) fn render(outcome: &SyncOutcome, look: &Look) -> String {
    let report = &outcome.report;
    let rows = report.results.iter().map(|(table, result)| {
        let waiting = result.conflicts_detected.saturating_sub(result.conflicts_resolved);
        let conflicts = show::conflicts(result.conflicts_detected, waiting);
        vec![table.to_owned(), result.cloud_to_local.to_string(), result.local_to_cloud.to_string(), conflicts]
    });
    let table = show::boxed(&[("Table", 8), ("Cloud→L", 8), ("Local→C", 8), ("Conflicts", 9)], rows);
    let end = if report.success { look.paint.green("✓ Success") } else { look.paint.red("✗ Failed") };
    let mut text = format!(
        "{table}\n{end}: {} in {} ({})\n",
        show::count(report.total_synced, "record"),
        show::seconds(report.duration_seconds),
        report.sync_id
    );
    let waiting = [
        (outcome.conflicts_waiting, "conflict", "waiting for a person"),
        (outcome.quarantined, "row", "refused by a database"),
        (outcome.pending, "row", "left for the next run"),
    ];
    for (number, noun, what) in waiting.into_iter().filter(|(number, ..)| *number > 0) {
        text.push_str(&format!("{} {} {what}\n", look.paint.yellow("!"), show::count(number, noun)));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::outcome::TableResult;

    fn outcome() -> SyncOutcome {
        let customers = TableResult { cloud_to_local: 15, local_to_cloud: 8, conflicts_detected: 3, conflicts_resolved: 3 };
        let orders = TableResult { cloud_to_local: 42, local_to_cloud: 27, conflicts_detected: 1, conflicts_resolved: 1 };
        let results = [("customers".to_owned(), customers), ("orders".to_owned(), orders)].into_iter().collect();
        let report = SyncReport { success: true, sync_id: "sync_20260114_153000".into(), results, total_synced: 92, duration_seconds: 2.4 };
        SyncOutcome { report, conflicts_waiting: 0, quarantined: 0, pending: 0, warnings: Vec::new() }
    }

    #[test]
    fn programs_get_exactly_the_answer_of_the_api() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&outcome().report).unwrap(), @r#"
        {
          "success": true,
          "sync_id": "sync_20260114_153000",
          "results": {
            "customers": {
              "cloud_to_local": 15,
              "local_to_cloud": 8,
              "conflicts_detected": 3,
              "conflicts_resolved": 3
            },
            "orders": {
              "cloud_to_local": 42,
              "local_to_cloud": 27,
              "conflicts_detected": 1,
              "conflicts_resolved": 1
            }
          },
          "total_synced": 92,
          "duration_seconds": 2.4
        }
        "#);
    }

    #[test]
    fn people_get_a_table_and_what_waits() {
        let outcome = SyncOutcome { conflicts_waiting: 1, pending: 2, ..outcome() };
        insta::assert_snapshot!(render(&outcome, &Look::plain()), @r"
        ┌───────────┬──────────┬──────────┬──────────────────┐
        │ Table     │ Cloud→L  │ Local→C  │ Conflicts        │
        ├───────────┼──────────┼──────────┼──────────────────┤
        │ customers │ 15       │ 8        │ 3 (all resolved) │
        │ orders    │ 42       │ 27       │ 1 (all resolved) │
        └───────────┴──────────┴──────────┴──────────────────┘
        ✓ Success: 92 records in 2.4s (sync_20260114_153000)
        ! 1 conflict waiting for a person
        ! 2 rows left for the next run
        ");
    }

    #[test]
    fn the_exit_code_says_what_waits() {
        let check = |change: fn(&mut SyncOutcome), expected| {
            let mut outcome = outcome();
            change(&mut outcome);
            assert_eq!(exit(&outcome).code(), expected);
        };
        check(|_| {}, 0);
        check(|outcome| outcome.pending = 1, 0);
        check(|outcome| outcome.conflicts_waiting = 1, 5);
        check(|outcome| outcome.quarantined = 1, 5);
        check(|outcome| outcome.report.success = false, 1);
    }
}

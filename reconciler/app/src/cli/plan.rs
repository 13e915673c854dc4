//! `berqenas plan`: what a run would change, as a diff.

use std::{fmt::Write as _, path::PathBuf};

use berqenas_core::{spec::StrategyName, value::Side};

use super::{Exit, Session, screen::Look, show};
use crate::{
    engine::{
        outcome::{Counts, Note, NoteKind, Op, PlanReport, PlannedAction, PlannedConflict, Row, TablePlan, Winner},
        request::PlanRequest,
    },
    error::EngineError,
};

/// How many rows of a table are shown, unless `--limit` says otherwise.
pub(super) const DEFAULT_LIMIT: usize = 50;

/// The kind of conflict in which both sides edited the row.
const ORDINARY_CONFLICT: &str = "update_update";

/// Show what a sync would change, row by row; nothing is written anywhere
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync; without it, all of them
    name: Option<String>,

    /// Only these tables, by their names in the spec
    #[arg(long, value_delimiter = ',', value_name = "TABLES")]
    tables: Vec<String>,

    /// The conflict strategy, instead of the spec's
    #[arg(long, value_parser = show::strategy_parser(), value_name = "STRATEGY")]
    strategy: Option<StrategyName>,

    /// Read every row: finds hard deletes, and writes that left updated_at alone
    #[arg(long)]
    full_sync: bool,

    /// Save the plan to a file, for `berqenas apply`
    #[arg(long, value_name = "FILE", requires = "name")]
    out: Option<PathBuf>,

    /// Exit with 2 if there are changes
    #[arg(long)]
    detailed_exitcode: bool,

    /// Rows, and conflicts, shown of each table [default: 50; with --json, all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let engine = session.engine()?;
    let request = PlanRequest {
        tables: args.tables.clone(),
        strategy: args.strategy,
        full_sync: args.full_sync,
        row_limit: row_limit(args.limit, session),
    };
    if session.screen.is_json() && request.row_limit.is_none() {
        let plans = engine.plan_listed(args.name.as_deref(), &request, args.out.as_deref()).await?;
        match plans.as_slice() {
            [plan] if args.name.is_some() => session.screen.json(plan)?,
            plans => session.screen.json(plans)?,
        }
        return Ok(exit(args, plans.iter().map(|plan| &plan.report)));
    }
    let plans = match (&args.name, &args.out) {
        (Some(name), Some(file)) => vec![engine.plan_to_file(name, &request, file).await?],
        (name, _) => engine.plan(name.as_deref(), &request).await?,
    };
    print(&plans, args.name.is_some(), request.row_limit, session)?;
    if let (Some(file), false) = (&args.out, session.screen.is_json()) {
        session.screen.aside(&format!("\nSaved. To do exactly this: berqenas apply {}", file.display()));
    }
    Ok(exit(args, plans.iter()))
}

fn exit<'p>(args: &Args, mut plans: impl Iterator<Item = &'p PlanReport>) -> Exit {
    let changes = plans.any(|plan| !plan.summary.total.is_empty());
    if args.detailed_exitcode && changes { Exit::Changes } else { Exit::Done }
}

/// People get the first rows of each table; programs get them all unless they ask for less.
pub(super) fn row_limit(asked: Option<usize>, session: &Session) -> Option<usize> {
    asked.or((!session.screen.is_json()).then_some(DEFAULT_LIMIT))
}

/// One plan as an object where one sync was named, else all of them as an array.
fn print(plans: &[PlanReport], one: bool, limit: Option<usize>, session: &Session) -> Result<(), EngineError> {
    let limit = limit.unwrap_or(usize::MAX);
    match plans {
        [plan] if one => session.screen.answer(plan, |look| render(plan, limit, look)),
        plans => session.screen.answer(plans, |look| plans.iter().map(|plan| render(plan, limit, look)).collect::<Vec<_>>().join("\n")),
    }
}

/// The plan as a diff: summary, then notes, then each table with its rows and conflicts.
pub(super) fn render(plan: &PlanReport, limit: usize, look: &Look) -> String {
    let mut text = format!("{}\n", look.paint.bold(&format!("Plan: {}", plan.sync)));
    text.push_str(&render_totals(&plan.summary.total));
    text.push_str(&render_notes(&plan.summary.notes, look));
    for table in &plan.tables {
        let counts = plan.summary.tables.get(&table.table).copied().unwrap_or_default();
        text.push_str(&render_table(table, &counts, limit, look));
    }
    text
}

/// One line a note; notes that say the same of several tables are one line.
fn render_notes(notes: &[Note], look: &Look) -> String {
    let mut lines: Vec<(&Note, Vec<String>)> = Vec::new();
    for note in notes {
        let table = note.table.clone().into_iter();
        match lines.iter_mut().find(|(known, _)| note.key.is_none() && same_note(known, note)) {
            Some((_, tables)) => tables.extend(table),
            None => lines.push((note, table.collect())),
        }
    }
    let line = |(note, tables): (&Note, Vec<String>)| {
        let tables = (!tables.is_empty()).then(|| tables.join(", "));
        let place = [tables, note.key.as_ref().map(|key| show::key(key, "="))].into_iter().flatten();
        let place = place.map(|part| format!("{part}: ")).collect::<String>();
        let kind = match note.kind {
            NoteKind::Skipped | NoteKind::Pending => look.paint.dim(note.kind.as_str()),
            NoteKind::Held | NoteKind::Parked | NoteKind::Quarantined | NoteKind::Warning => look.paint.yellow(note.kind.as_str()),
        };
        format!("  {kind}: {place}{}\n", note.reason)
    };
    lines.into_iter().map(line).collect()
}

fn same_note(one: &Note, other: &Note) -> bool {
    one.key.is_none() && one.kind == other.kind && one.reason == other.reason && one.table.is_some() && other.table.is_some()
}

fn render_totals(total: &Counts) -> String {
    if total.is_empty() {
        let held = if total.held > 0 { format!(" {} held back.", show::count(total.held, "row")) } else { String::new() };
        // Rows that the scan itself found to be as agreed are not counted: nothing is said of none.
        let looked_at = if total.unchanged > 0 { format!(" {} looked at.", show::count(total.unchanged, "row")) } else { String::new() };
        return format!("  Nothing to do.{held}{looked_at}\n");
    }
    let mut text = format!("  Cloud → Local: {}\n  Local → Cloud: {}\n", records(total.cloud_to_local), records(total.local_to_cloud));
    let parts = [
        (total.inserts, "to insert"),
        (total.updates, "to update"),
        (total.deletes, "to delete"),
        (total.restores, "to restore"),
        (total.held, "held back"),
        (total.unchanged, "unchanged"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if !parts.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  Rows: {}", parts.join(", "));
    }
    if total.conflicts > 0 {
        let _ = writeln!(text, "  Conflicts: {}", show::conflicts(total.conflicts, total.parked));
    }
    text
}

fn records(number: u64) -> String {
    show::count(number, "record")
}

fn render_table(table: &TablePlan, counts: &Counts, limit: usize, look: &Look) -> String {
    if table.actions.is_empty() && table.conflicts.is_empty() && counts.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", look.paint.bold(&table.table));
    // A row that a conflict explains is not told twice.
    let of_conflict = |action: &&PlannedAction| table.conflicts.iter().any(|conflict| conflict.key == action.key);
    let plain: Vec<&PlannedAction> = table.actions.iter().filter(|action| !of_conflict(action)).collect();
    for action in plain.iter().take(limit) {
        text.push_str(&render_action(action, look));
    }
    let shown_conflicts = table.conflicts.len().min(limit);
    let in_conflicts = table.actions.iter().filter(of_conflict).count();
    text.push_str(&more(counts.writes(), plain.len().min(limit) + in_conflicts, "row", look));
    for conflict in &table.conflicts[..shown_conflicts] {
        text.push_str(&format!("\n{}", render_conflict(&table.table, conflict, &table.actions, look)));
    }
    text.push_str(&more(counts.conflicts, shown_conflicts, "conflict", look));
    text
}

fn more(total: u64, shown: usize, noun: &str, look: &Look) -> String {
    match total.saturating_sub(shown as u64) {
        0 => String::new(),
        rest => format!("  {}\n", look.paint.dim(&format!("… and {rest} more {noun}{}", if rest == 1 { "" } else { "s" }))),
    }
}

fn render_action(action: &PlannedAction, look: &Look) -> String {
    let mark = match action.op {
        Op::Insert | Op::Restore => look.paint.green("+"),
        Op::Update => look.paint.yellow("~"),
        Op::Delete => look.paint.red("-"),
    };
    let reason = look.paint.dim(&format!("({})", action.reason));
    let mut text = format!("  {mark} {} on {}: {}  {reason}\n", action.op.as_str(), action.side, show::key(&action.key, "="));
    for (column, change) in action.changes.iter() {
        let line = match action.op {
            Op::Insert | Op::Restore => format!("{column}: {}", look.paint.green(&show::value(&change.to))),
            Op::Update | Op::Delete => {
                let (from, to) = (look.paint.red(&show::value(&change.from)), look.paint.green(&show::value(&change.to)));
                format!("{column}: {from} → {to}")
            }
        };
        text.push_str(&format!("      {line}\n"));
    }
    text
}

/// A conflict, told as in the manual: what was found, how it was decided, what is done.
fn render_conflict(table: &str, conflict: &PlannedConflict, actions: &[PlannedAction], look: &Look) -> String {
    let differing = differing(conflict);
    let row = |row: &Option<Row>| match row {
        Some(row) => format!("{{{}}}", pairs(row, &differing, ": ")),
        None => "no such row".to_owned(),
    };
    let base = conflict.base.as_ref().map(|base| format!("  Base: {{{}}}\n", pairs(base, &differing, ": "))).unwrap_or_default();
    let resolution = match conflict.winner {
        // The built-in strategies say it in these very words.
        Winner::Cloud | Winner::Local if conflict.reason.contains(" wins (") => conflict.reason.clone(),
        Winner::Cloud | Winner::Local => format!("{} wins ({})", show::winner(conflict.winner), conflict.reason),
        Winner::Merged => format!("merged ({})", conflict.reason),
        Winner::None => format!("waits for a person ({})", conflict.reason),
    };
    // The everyday kind goes without saying.
    let kind = if conflict.kind == ORDINARY_CONFLICT { String::new() } else { format!("  Kind: {}\n", conflict.kind) };
    let done: String =
        Side::BOTH.iter().map(|side| format!("  {}\n", conflict_action(*side, conflict, actions, &differing, look))).collect();
    format!(
        "{}\n  Table: {table}\n  PK: {}\n{kind}  Cloud: {}\n  Local: {}\n{base}\n{} {resolution}\n\n{}\n{done}",
        look.paint.bold("Conflict Detected:"),
        show::key(&conflict.key, " = "),
        row(&conflict.cloud),
        row(&conflict.local),
        look.paint.bold("Resolution:"),
        look.paint.bold("Actions:"),
    )
}

fn conflict_action(side: Side, conflict: &PlannedConflict, actions: &[PlannedAction], differing: &[String], look: &Look) -> String {
    let tick = look.paint.green("✓");
    let name = show::side(side);
    if let Some(action) = actions.iter().find(|action| action.side == side && action.key == conflict.key) {
        let (verb, new) = match action.op {
            Op::Insert => ("Insert", true),
            Op::Update => ("Update", true),
            Op::Delete => ("Delete", false),
            Op::Restore => ("Restore", true),
        };
        let set = action.changes.iter().map(|(column, change)| format!("{column} = {}", show::value(&change.to)));
        let set = if new { format!(": {}", set.collect::<Vec<_>>().join(", ")) } else { String::new() };
        return format!("{tick} {verb} {name}{set}");
    }
    let row = match side {
        Side::Cloud => &conflict.cloud,
        Side::Local => &conflict.local,
    };
    let Some(row) = row else { return format!("{tick} Keep {name}: no such row") };
    // The columns that the other side is given are the ones worth naming here; without any, those that differ.
    let written = actions.iter().find(|action| action.side == side.other() && action.key == conflict.key);
    let columns: Vec<String> = match written {
        Some(action) if action.op == Op::Update => action.changes.iter().map(|(column, _)| column.to_owned()).collect(),
        _ => differing.to_vec(),
    };
    format!("{tick} Keep {name}: {}", pairs(row, &columns, " = "))
}

/// The columns in which the two rows differ; all of them where there is only one row.
fn differing(conflict: &PlannedConflict) -> Vec<String> {
    let (some, other) = match (&conflict.cloud, &conflict.local) {
        (Some(cloud), Some(local)) => (cloud, Some(local)),
        (Some(row), None) | (None, Some(row)) => (row, None),
        (None, None) => return Vec::new(),
    };
    let differs = |column: &String, value: &serde_json::Value| other.is_none_or(|row| row.get(column) != Some(value));
    let in_key = |column: &String| conflict.key.contains_key(column);
    some.iter().filter(|(column, value)| !in_key(column) && differs(column, value)).map(|(column, _)| column.clone()).collect()
}

fn pairs(row: &Row, columns: &[String], between: &str) -> String {
    let pair = |column: &String| row.get(column).map(|value| format!("{column}{between}{}", show::value(value)));
    columns.iter().filter_map(pair).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;

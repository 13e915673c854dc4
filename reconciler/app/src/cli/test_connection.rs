//! `berqenas sync test-connection`

use berqenas_core::spec::LedgerMode;

use super::{Exit, Session, screen::Look, show};
use crate::{
    engine::outcome::{ConnectionReport, SideReport},
    error::EngineError,
};

/// Check both sides: reachable, version, latency, clock, rights, and each table's readiness
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let report = session.engine()?.test_connection(&args.name).await?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(if report.cloud.is_ready() && report.local.is_ready() { Exit::Done } else { Exit::NotReady })
}

fn render(report: &ConnectionReport, look: &Look) -> String {
    let mut text = format!("{}\n", look.paint.bold(&format!("Connection Test: {}", report.sync)));
    text.push_str(&render_side("Cloud", &report.cloud, look));
    text.push_str(&render_side("Local", &report.local, look));
    let lacking = [&report.cloud, &report.local]
        .iter()
        .any(|side| (side.prepared == Some(false) && side.ledger.is_table()) || side.tables.iter().any(|table| !table.ready));
    if lacking {
        let name = &report.sync;
        text.push_str(&format!("\n{} berqenas sync prepare {name} prints what is lacking, as statements\n", look.paint.green("hint:")));
    }
    text
}

fn render_side(title: &str, side: &SideReport, look: &Look) -> String {
    let (good, bad) = (look.paint.green("✓"), look.paint.red("✗"));
    let mut lines = vec![String::new(), format!("{} {}", look.paint.bold(&format!("{title}:")), side.target)];
    if !side.reachable {
        let why = side.error.as_deref().unwrap_or("for a reason not known");
        lines.push(format!("  {bad} not reachable: {why}"));
        return lines.join("\n") + "\n";
    }
    lines.push(format!("  {good} reachable: {}", side.version.as_deref().unwrap_or("version unknown")));
    let milliseconds = |value: Option<f64>, signed| match value {
        Some(value) if signed => format!("{value:+.1} ms"),
        Some(value) => format!("{value:.1} ms"),
        None => "unknown".to_owned(),
    };
    lines.push(format!("  Latency: {}", milliseconds(side.latency_ms, false)));
    lines.push(format!("  Clock offset: {}", milliseconds(side.clock_offset_ms, true)));
    let mut check = |state: Option<bool>, yes: &str, no: &str, unknown: &str| {
        lines.push(match state {
            Some(true) => format!("  {good} {yes}"),
            Some(false) => format!("  {bad} {no}"),
            None => format!("  ? {unknown}"),
        });
    };
    check(side.writable, "writable", "not writable", "not known whether it is writable");
    let (there, not_so) = match side.ledger {
        LedgerMode::Table => ("berqenas_sync is there", "berqenas_sync is missing"),
        LedgerMode::Lock => {
            ("a lock stands for berqenas_sync", "berqenas_sync is there, and the spec says ledger: lock: one of the two has to go")
        }
    };
    check(side.prepared, there, not_so, "not known whether berqenas_sync is there");
    lines.extend(side.warnings.iter().map(|warning| format!("  {} {warning}", look.paint.yellow("!"))));
    lines.extend(side.missing_rights.iter().map(|right| format!("  {bad} right missing: {right}")));
    lines.extend(side.advised_rights.iter().map(|right| format!("  {} {right}", look.paint.yellow("right advised:"))));
    for table in &side.tables {
        let lacks = if table.ready { "ready".to_owned() } else { format!("lacks {}", table.lacks.join(", ")) };
        lines.push(format!("  {} {} ({}): {lacks}", if table.ready { &good } else { &bad }, table.table, table.name));
    }
    if let Some(error) = &side.error {
        lines.push(format!("  {bad} {error}"));
    }
    if side.tables.is_empty() {
        lines.push(format!("  {}", look.paint.dim(&show::count(0, "table"))));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::TableReadiness;

    #[test]
    fn one_side_up_one_down() {
        let cloud = SideReport {
            target: "postgres://erp@db.example.com/erp".into(),
            reachable: true,
            version: Some("PostgreSQL 15.4".into()),
            latency_ms: Some(12.34),
            clock_offset_ms: Some(-3.0),
            writable: Some(true),
            missing_rights: vec!["GRANT SELECT ON customers TO erp;".into()],
            advised_rights: vec!["GRANT pg_read_all_stats TO erp;".into()],
            prepared: Some(false),
            tables: vec![
                TableReadiness { table: "orders".into(), name: "public.orders".into(), ready: true, lacks: vec![] },
                TableReadiness {
                    table: "customers".into(),
                    name: "public.customers".into(),
                    ready: false,
                    lacks: vec!["the column is_deleted".into(), "a trigger that sets updated_at".into()],
                },
            ],
            ..SideReport::default()
        };
        let local = SideReport { target: "sqlite:office.db".into(), error: Some("no such file".into()), ..SideReport::default() };
        let report = ConnectionReport { sync: "musteri_erp".into(), cloud, local };
        insta::assert_snapshot!(render(&report, &Look::plain()), @r"
        Connection Test: musteri_erp

        Cloud: postgres://erp@db.example.com/erp
          ✓ reachable: PostgreSQL 15.4
          Latency: 12.3 ms
          Clock offset: -3.0 ms
          ✓ writable
          ✗ berqenas_sync is missing
          ✗ right missing: GRANT SELECT ON customers TO erp;
          right advised: GRANT pg_read_all_stats TO erp;
          ✓ orders (public.orders): ready
          ✗ customers (public.customers): lacks the column is_deleted, a trigger that sets updated_at

        Local: sqlite:office.db
          ✗ not reachable: no such file

        hint: berqenas sync prepare musteri_erp prints what is lacking, as statements
        ");
    }
}

//! `berqenas validate`

use super::{
    Exit, Session,
    screen::{Look, render_fault},
    show,
};
use crate::{engine::outcome::ValidateReport, error::EngineError};

/// Check every spec and report all faults at once; no database is asked
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let report = session.engine()?.validate().await;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(if report.valid { Exit::Done } else { Exit::Invalid })
}

fn render(report: &ValidateReport, look: &Look) -> String {
    let mut lines: Vec<String> = report
        .specs
        .iter()
        .map(|spec| {
            let tables = show::count(spec.tables.len() as u64, "table");
            format!("{} {} ({}, {tables})", look.paint.green("✓"), look.paint.bold(&spec.sync), spec.file)
        })
        .collect();
    lines.extend(report.faults.iter().map(|fault| render_fault(fault, look.paint)));
    let faults = match report.faults.len() {
        0 => "no faults".to_owned(),
        some => show::count(some as u64, "fault"),
    };
    lines.push(format!("{}, {faults}", show::count(report.specs.len() as u64, "spec")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::{SpecEntry, SpecFault};

    #[test]
    fn good_specs_and_faults_side_by_side() {
        let report = ValidateReport {
            valid: false,
            specs: vec![SpecEntry {
                sync: "musteri_erp".into(),
                id: 42,
                file: "specs/erp.yaml".into(),
                generation: "ab".into(),
                tables: vec!["customers".into(), "orders".into()],
            }],
            faults: vec![SpecFault {
                file: "specs/shop.yaml".into(),
                line: Some(4),
                column: Some(3),
                message: "unknown key `stategy`".into(),
                hint: Some("did you mean `strategy`?".into()),
            }],
        };
        insta::assert_snapshot!(render(&report, &Look::plain()), @r"
        ✓ musteri_erp (specs/erp.yaml, 2 tables)
        specs/shop.yaml:4:3: unknown key `stategy`
          hint: did you mean `strategy`?
        1 spec, 1 fault
        ");
    }
}

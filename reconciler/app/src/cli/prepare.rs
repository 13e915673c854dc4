//! `berqenas sync prepare`

use berqenas_core::value::Side;

use super::{Exit, Session, screen::Look, show};
use crate::{engine::outcome::PrepareReport, error::EngineError};

/// Print, or apply, the statements that make the tables fit to be synced
///
/// Columns, an index on updated_at, a trigger that maintains it, and the table berqenas_sync. Existing data is kept; it is safe to
/// repeat. What is printed can be piped to the database's own client.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,

    /// Only this side
    #[arg(long, value_parser = show::side_parser(), value_name = "SIDE")]
    side: Option<Side>,

    /// Run the statements instead of printing them
    #[arg(long)]
    apply: bool,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let report = session.engine()?.prepare(&args.name, args.side, args.apply).await?;
    session.screen.answer(&report, |look| render(&report, look))?;
    if !report.applied && !session.screen.is_json() && report.sides.iter().any(|side| !side.tables.is_empty()) {
        session.screen.aside(&format!("\nNothing was changed. To run these statements: berqenas sync prepare {} --apply", report.sync));
    }
    Ok(Exit::Done)
}

/// SQL, with all else as comments.
fn render(report: &PrepareReport, look: &Look) -> String {
    let mut text = String::new();
    for side in &report.sides {
        text.push_str(&look.paint.bold(&format!("-- {}: {}", side.side, side.target)));
        text.push('\n');
        if side.tables.is_empty() {
            text.push_str("-- nothing is lacking\n");
        }
        for table in &side.tables {
            let done = if report.applied { " (done)" } else { "" };
            text.push_str(&format!("\n{}\n", look.paint.dim(&format!("-- {}{done}", table.table))));
            for statement in &table.statements {
                text.push_str(&format!("{};\n", statement.trim_end().trim_end_matches(';')));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::{SidePreparation, TablePreparation};

    #[test]
    fn sql_that_can_be_piped() {
        let statements = vec!["ALTER TABLE \"customers\" ADD COLUMN \"is_deleted\" boolean DEFAULT false".to_owned()];
        let tables = vec![TablePreparation { table: "public.customers".into(), statements }];
        let sides = vec![
            SidePreparation { side: Side::Cloud, target: "postgres://erp@db.example.com/erp".into(), tables },
            SidePreparation { side: Side::Local, target: "sqlite:office.db".into(), tables: vec![] },
        ];
        let report = PrepareReport { sync: "musteri_erp".into(), applied: false, sides };
        insta::assert_snapshot!(render(&report, &Look::plain()), @r#"
        -- cloud: postgres://erp@db.example.com/erp

        -- public.customers
        ALTER TABLE "customers" ADD COLUMN "is_deleted" boolean DEFAULT false;

        -- local: sqlite:office.db
        -- nothing is lacking
        "#);
    }
}

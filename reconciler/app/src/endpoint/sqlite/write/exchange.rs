//! Unique values that rows hand to each other (`a` gets what `b` has, `b` what `a` has). SQLite checks a unique key row by row, so such
//! rows are written in two steps: first all of them let go of their values, then each takes its new one.

use std::collections::BTreeMap;

use berqenas_core::{
    access::TableAccess,
    shape::{ColumnShape, TableShape},
};

use super::{
    super::{
        super::{
            RefusalKind, Result, RowOutcome,
            batch::{Item, Op},
        },
        describe, sql,
    },
    Failure, Operation, Outcomes, Writer,
    sql::Statement,
    with_before,
};

/// How often rows that are refused for good are set aside and the rest tried again.
const ROUNDS: usize = 16;

impl Writer<'_> {
    /// Tries the updates of a run once more that were refused for a unique key, together and in two steps.
    pub(super) async fn exchange(&mut self, access: &TableAccess, run: &[Item<'_>]) -> Result<()> {
        let mut rows: Vec<Item<'_>> = run.iter().filter(|item| self.refused_as(item, RefusalKind::Unique)).copied().collect();
        rows.retain(|item| item.write.op() == Op::Update);
        if rows.len() < 2 {
            return Ok(());
        }
        let shape = describe::table(self.connection, &access.name).await;
        let Some(shape) = shape.map_err(|error| self.context.fail("looking up unique keys", error))? else { return Ok(()) };
        for _ in 0..ROUNDS {
            if rows.len() < 2 {
                break;
            }
            let refused: Outcomes =
                rows.iter().filter_map(|item| Some((item.position, self.outcomes.get(&item.position)?.clone()))).collect();
            self.execute("SAVEPOINT exchange").await?;
            let Some(moved) = self.release(access, &shape, &rows).await? else { return self.undo_exchange().await };
            if !moved.is_empty() {
                self.undo_exchange().await?;
                rows.retain(|item| !moved.contains_key(&item.position));
                self.outcomes.extend(moved);
                continue;
            }
            self.write(access, Operation::Finish, &rows).await?;
            let done = |outcome: Option<&RowOutcome>| matches!(outcome, Some(RowOutcome::Applied(_)));
            let (settled, failed): (Vec<Item<'_>>, Vec<Item<'_>>) = rows.iter().partition(|item| done(self.outcomes.get(&item.position)));
            if failed.is_empty() {
                return self.execute("RELEASE exchange").await;
            }
            self.undo_exchange().await?;
            // What was rolled back is refused again, until the next round.
            self.outcomes
                .extend(settled.iter().filter_map(|item| refused.get_key_value(&item.position)).map(|(at, was)| (*at, was.clone())));
            rows = settled;
        }
        Ok(())
    }

    async fn undo_exchange(&mut self) -> Result<()> {
        self.execute("ROLLBACK TO exchange").await?;
        self.execute("RELEASE exchange").await
    }

    /// The first step, under the full guard. Answers the rows that moved; `None`: the rows cannot let go of their values.
    async fn release(&mut self, access: &TableAccess, shape: &TableShape, rows: &[Item<'_>]) -> Result<Option<Outcomes>> {
        let mut groups: BTreeMap<Vec<usize>, Vec<Item<'_>>> = BTreeMap::new();
        for item in rows {
            groups.entry(item.write.given().iter().map(|(index, _)| *index).collect()).or_default().push(*item);
        }
        let mut moved = Outcomes::new();
        for (columns, group) in groups {
            let unique = |column: &ColumnShape| shape.uniques.iter().any(|key| key.columns.contains(&column.name));
            let set = columns.iter().filter_map(|&index| shape.column(&access.columns[index].name)).filter(|column| unique(column));
            let set: Vec<String> = set.map(|column| format!("{} = {}", sql::quote(&column.name), placeholder(column))).collect();
            if set.is_empty() {
                // The clash is of a kind that cannot be let go of: an index over an expression.
                return Ok(None);
            }
            let guarded = sql::guarded(access);
            for chunk in group.chunks(sql::rows_in_statement(access.columns.len() + columns.len(), 0)) {
                let statement = Statement::with_incoming(chunk.iter().map(|item| with_before(item, &guarded))).push(format!(
                    "UPDATE OR ABORT {} AS t SET {} FROM incoming AS i WHERE {} RETURNING {}",
                    sql::table(&access.name),
                    set.join(", "),
                    sql::guard(access, "t", &guarded, 0),
                    sql::key_names(access),
                ));
                let released = match self.keys_written(access, Operation::Update, statement).await {
                    Ok(released) => released,
                    Err(Failure::OfRow(_)) => return Ok(None),
                    Err(Failure::Fatal(error)) => return Err(error),
                };
                let gone = chunk.iter().filter(|item| !released.contains(&sql::key_id(item.write.key_after(access))));
                moved.extend(gone.map(|item| (item.position, RowOutcome::Moved)));
            }
        }
        Ok(Some(moved))
    }
}

/// A value no row holds: NULL where it may be, else one drawn at random.
fn placeholder(column: &ColumnShape) -> &'static str {
    match column.affinity.as_str() {
        _ if column.nullable => "NULL",
        "INTEGER" | "NUMERIC" | "REAL" => "-4611686018427387904 - abs(random() % 4611686018427387904)",
        _ => "'~' || hex(randomblob(8))",
    }
}

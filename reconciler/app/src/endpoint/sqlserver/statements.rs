//! The guarded statements: one for any number of rows of one table that set the same columns. Text only; [`super::writer`] runs them.
//!
//! Each first notes in `i.s` the rows that it will write, and locks them; then writes them, under the same guard once more, since a
//! server may take the hint to lock for no more than a hint. If other rows came of it, somebody else was in between: nothing is kept, and
//! it is tried again. So what was written is known row by row, without `OUTPUT`, which tables with triggers do not let through.

use berqenas_core::{
    access::{Role, TableAccess},
    shape::{ForeignKey, Referrer},
    value::Stored,
};

use super::{
    facts::Facts,
    input::Input,
    session::{MOVED_MEANWHILE, WITHHELD},
    sql::{self, NOW, cast, equals, is_content, key_equals, quoted, quoted_table, unchanged},
};
use crate::endpoint::batch::{Aside, Guard, Item};

/// A statement and the rows it is for.
pub(super) struct Prepared<'a> {
    pub(super) input: Input<'a>,
    pub(super) text: String,
    /// What has to be set back after it failed.
    pub(super) cleanup: String,
}

/// A prepared statement, or what of the rows makes no sense.
pub(super) type Built<'a> = Result<Prepared<'a>, String>;

/// Wraps statements of a transaction so that an error is told as rows (number, message, state of the transaction) and, where it can be,
/// the transaction goes on. It cannot after errors of conversion and of triggers: then it is rolled back here.
pub(super) fn tried(body: &str, cleanup: &str) -> String {
    format!(
        "SET XACT_ABORT OFF; BEGIN TRY {IN_TRANSACTION}SAVE TRANSACTION {TRY}; {body} END TRY BEGIN CATCH DECLARE @number INT = \
         ERROR_NUMBER(), @message NVARCHAR(4000) = ERROR_MESSAGE(), @state INT = XACT_STATE(), @within INT = 0; \
         IF ERROR_PROCEDURE() IS NOT NULL SET @within = 1; IF @state = -1 ROLLBACK TRANSACTION; {cleanup}\
         SELECT N'{FAILED}', @number, @message, @state, @within; END CATCH; SET XACT_ABORT ON"
    )
}

/// What each row of ours begins with that tells a number of the input: triggers may answer rows too.
pub(super) const ROW: &str = "berqenas_row";

/// What the answer begins with that tells of an error.
pub(super) const FAILED: &str = "berqenas_failed";

/// Makes sure that what is to be part of a transaction is: a trigger may have ended it without an error.
pub(super) const IN_TRANSACTION: &str = "IF @@TRANCOUNT = 0 THROW 50704, 'the transaction is over', 1; ";

/// Rows are looked up one by one, by their key: a plan that scans the table would lock all of it.
const LOOPS: &str = " OPTION (LOOP JOIN, FORCE ORDER)";

/// The savepoint within [`tried`].
pub(super) const TRY: &str = "berqenas_try";

/// What a statement says that met somebody else's.
fn unless_moved(wanted: &str, write: &str) -> String {
    format!(
        "DECLARE @wanted INT, @written INT; {wanted}; SELECT @wanted = COUNT(*) FROM #berqenas_input WHERE s = 1; {write}; \
         SET @written = @@ROWCOUNT; IF @written <> @wanted THROW {MOVED_MEANWHILE}, 'rows were changed between two statements', 1; "
    )
}

const WRITTEN: &str = "SELECT N'berqenas_row', n FROM #berqenas_input WHERE s = 1;";

/// Adds a column of values, one of each item, to the input; answers `i.c0`.
fn bind<'a>(
    input: &mut Input<'a>,
    access: &TableAccess,
    index: usize,
    items: &[Item<'a>],
    value: impl Fn(&Item<'a>) -> Option<&'a Stored>,
) -> Result<String, String> {
    let column = &access.columns[index];
    let values: Option<Vec<&Stored>> = items.iter().map(value).collect();
    let values = values.ok_or_else(|| format!("a write was given without a value for {}", column.name))?;
    Ok(format!("i.{}", input.column(column, values.into_iter())?))
}

/// The conditions that find each row by its key, as it was read.
fn by_key<'a>(input: &mut Input<'a>, access: &TableAccess, facts: &Facts, items: &[Item<'a>], alias: &str) -> Result<String, String> {
    let conditions = access.key_columns().map(|index| {
        let column = &access.columns[index];
        let bound = bind(input, access, index, items, |item| item.write.before()?.values.get(index))?;
        Ok(equals(alias, &column.name, column, facts.collation(&column.name), &bound))
    });
    Ok(conditions.collect::<Result<Vec<_>, String>>()?.join(" AND "))
}

/// The conditions that find each row by its key and hold it to its guard.
fn guards<'a>(input: &mut Input<'a>, access: &TableAccess, facts: &Facts, items: &[Item<'a>], guard: Guard) -> Result<String, String> {
    if guard == Guard::Key {
        return by_key(input, access, facts, items, "t");
    }
    let (mut keys, mut stored, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for (index, column) in access.columns.iter().enumerate().filter(|(_, column)| is_content(column)) {
        let bound = bind(input, access, index, items, |item| item.write.before()?.values.get(index))?;
        if column.role == Role::Key {
            keys.push(key_equals(column, facts.collation(&column.name), &bound));
        }
        let (of_column, of_input) = unchanged(column, &bound);
        stored.extend(of_column);
        read.extend(of_input);
    }
    Ok(format!("{} AND EXISTS (SELECT {} INTERSECT SELECT {})", keys.join(" AND "), stored.join(", "), read.join(", ")))
}

/// Inserts rows whose key is not there. Columns `left_out` are NULL for now.
pub(super) fn insert<'a>(access: &TableAccess, facts: &Facts, columns: &[usize], left_out: &[usize], items: &[Item<'a>]) -> Built<'a> {
    let mut input = Input::new(items.len());
    let stamped = access.position(Role::UpdatedAt).filter(|_| access.stamp_inserts);
    let (mut names, mut values, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for index in columns.iter().copied().filter(|index| Some(*index) != stamped) {
        let column = &access.columns[index];
        if left_out.contains(&index) {
            // Said, so that no default comes in its place.
            names.push(quoted(&column.name));
            values.push("NULL".to_owned());
            continue;
        }
        let bound = bind(&mut input, access, index, items, |item| item.write.value_after(index))?;
        names.push(quoted(&column.name));
        values.push(cast(column, &bound));
        if column.role == Role::Key {
            keys.push(key_equals(column, facts.collation(&column.name), &bound));
        }
    }
    if keys.len() < access.key_columns().count() {
        return Err("an insert was given without all of its key".to_owned());
    }
    if let Some(column) = stamped.map(|index| &access.columns[index]) {
        names.push(quoted(&column.name));
        values.push(NOW.to_owned());
    }
    let (table, keys) = (quoted_table(&access.name), keys.join(" AND "));
    let gives_identity = columns.iter().any(|index| facts.identity.as_deref() == Some(access.columns[*index].name.as_str()));
    let identity = |setting: &str| if gives_identity { format!("SET IDENTITY_INSERT {table} {setting}; ") } else { String::new() };
    let wanted = format!(
        "UPDATE i SET i.s = 1 FROM #berqenas_input AS i WHERE NOT EXISTS (SELECT 1 FROM {table} AS t WITH (UPDLOCK, HOLDLOCK) WHERE {keys}){LOOPS}; {}",
        identity("ON")
    );
    let write = format!(
        "INSERT INTO {table} ({}) SELECT {} FROM #berqenas_input AS i WHERE i.s = 1 ORDER BY i.n",
        names.join(", "),
        values.join(", ")
    );
    let body = format!(
        "{}{}IF EXISTS (SELECT 1 FROM #berqenas_input AS i WHERE i.s = 1 AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {keys})) \
         THROW {WITHHELD}, 'a trigger of the table withheld the row, removed it or gave it another key', 1; {WRITTEN}",
        unless_moved(wanted.trim_end_matches("; "), &write),
        identity("OFF"),
    );
    Ok(Prepared { input, text: body, cleanup: identity("OFF") })
}

/// What an update sets.
pub(super) enum Set<'s> {
    /// Columns, to the values given for them.
    Columns(&'s [usize]),
    /// Columns that exchange unique values, to what no row holds.
    Aside(&'s [Aside]),
    /// Columns, to NULL.
    Null(&'s [usize]),
}

/// Updates rows that hold their guard.
pub(super) fn update<'a>(access: &TableAccess, facts: &Facts, set: &Set<'_>, guard: Guard, items: &[Item<'a>]) -> Built<'a> {
    let mut input = Input::new(items.len());
    let mut assignments = Vec::new();
    let name = |index: usize| quoted(&access.columns[index].name);
    match set {
        Set::Columns(columns) => {
            let stamped = access.position(Role::UpdatedAt).filter(|_| access.stamp_updates);
            for index in columns.iter().copied().filter(|index| Some(*index) != stamped) {
                let bound = bind(&mut input, access, index, items, |item| item.write.value_after(index))?;
                assignments.push(format!("{} = {}", name(index), cast(&access.columns[index], &bound)));
            }
            if let Some(index) = stamped {
                assignments.push(format!("{} = {}", name(index), NOW));
            }
        }
        Set::Aside(asides) => assignments.extend(asides.iter().map(|aside| format!("{} = {}", quoted(&aside.column), aside.stand_in))),
        Set::Null(columns) => assignments.extend(columns.iter().map(|index| format!("{} = NULL", name(*index)))),
    }
    if assignments.is_empty() {
        return Err("an update was given that sets no column".to_owned());
    }
    let table = quoted_table(&access.name);
    let guards = match items.first().map(|item| item.write.before()) {
        // A row that was inserted a moment ago.
        Some(None) => by_new_key(&mut input, access, facts, items)?,
        _ => guards(&mut input, access, facts, items, guard)?,
    };
    let wanted = format!("UPDATE i SET i.s = 1 FROM #berqenas_input AS i JOIN {table} AS t WITH (UPDLOCK, ROWLOCK) ON {guards}{LOOPS}");
    let write =
        format!("UPDATE t SET {} FROM #berqenas_input AS i JOIN {table} AS t ON {guards} WHERE i.s = 1{LOOPS}", assignments.join(", "));
    // A trigger that acts in place of the update may have let it be. One that acts after it may have put back what was there.
    let withheld = if facts.is_replaced("UPDATE") && guard == Guard::Content {
        format!(
            "IF EXISTS (SELECT 1 FROM #berqenas_input AS i JOIN {table} AS t ON {guards} WHERE i.s = 1) \
             THROW {WITHHELD}, 'a trigger of the table kept the row from being written', 1; "
        )
    } else {
        String::new()
    };
    Ok(Prepared { input, text: format!("{}{withheld}{WRITTEN}", unless_moved(&wanted, &write)), cleanup: String::new() })
}

fn by_new_key<'a>(input: &mut Input<'a>, access: &TableAccess, facts: &Facts, items: &[Item<'a>]) -> Result<String, String> {
    let conditions = access.key_columns().map(|index| {
        let column = &access.columns[index];
        let bound = bind(input, access, index, items, |item| item.write.value_after(index))?;
        Ok(key_equals(column, facts.collation(&column.name), &bound))
    });
    Ok(conditions.collect::<Result<Vec<_>, String>>()?.join(" AND "))
}

/// Deletes rows by their key, which are held; answers those that are gone.
pub(super) fn delete<'a>(access: &TableAccess, facts: &Facts, guard: Guard, items: &[Item<'a>]) -> Built<'a> {
    let mut input = Input::new(items.len());
    let guards = guards(&mut input, access, facts, items, guard)?;
    let mut again = Input::new(items.len());
    // The key's columns come first in both.
    let keys = by_key(&mut again, access, facts, items, "t")?;
    let table = quoted_table(&access.name);
    let text = format!(
        "DELETE t FROM #berqenas_input AS i JOIN {table} AS t ON {guards}{LOOPS}; \
         SELECT N'{ROW}', i.n FROM #berqenas_input AS i WHERE NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {keys});"
    );
    Ok(Prepared { input, text, cleanup: String::new() })
}

/// Locks rows that hold their guard, so that nobody can change them; answers their numbers.
pub(super) fn hold<'a>(access: &TableAccess, facts: &Facts, items: &[Item<'a>]) -> Built<'a> {
    let mut input = Input::new(items.len());
    let guards = guards(&mut input, access, facts, items, Guard::Content)?;
    let table = quoted_table(&access.name);
    let text =
        format!("SELECT N'{ROW}', i.n FROM #berqenas_input AS i JOIN {table} AS t WITH (XLOCK, HOLDLOCK, ROWLOCK) ON {guards}{LOOPS};");
    Ok(Prepared { input, text, cleanup: String::new() })
}

/// The numbers of rows that rows of another table refer to, those apart that are leaving (the second input). That table is locked where
/// more such rows could come.
pub(super) fn referred<'a>(
    access: &TableAccess,
    facts: &Facts,
    items: &[Item<'a>],
    referrer: &Referrer,
    leaving: Option<(&TableAccess, &Facts, &[Item<'a>])>,
) -> Result<(Prepared<'a>, Option<Input<'a>>), String> {
    let mut input = Input::new(items.len());
    let keys = by_key(&mut input, access, facts, items, "t")?;
    let pairs = referrer.columns.iter().zip(&referrer.parent_columns);
    let mut refers: Vec<String> = pairs.map(|(child, parent)| format!("c.{} = t.{}", quoted(child), quoted(parent))).collect();
    if referrer.child == access.name {
        // A row may refer to itself.
        let same: Vec<String> =
            access.key_columns().map(|index| quoted(&access.columns[index].name)).map(|name| format!("c.{name} = t.{name}")).collect();
        refers.push(format!("NOT ({})", same.join(" AND ")));
    }
    let mut second = None;
    if let Some((child, child_facts, items)) = leaving {
        let mut leaves = Input::second(items.len());
        let same = by_key(&mut leaves, child, child_facts, items, "c")?.replace("i.c", "l.c");
        refers.push(format!("NOT EXISTS (SELECT 1 FROM {} AS l WHERE {same})", leaves.table()));
        second = Some(leaves);
    }
    let text = format!(
        "SELECT N'{ROW}', i.n FROM #berqenas_input AS i JOIN {} AS t ON {keys} WHERE EXISTS (SELECT 1 FROM {} AS c WITH (HOLDLOCK) WHERE {});",
        quoted_table(&access.name),
        quoted_table(&referrer.child),
        refers.join(" AND "),
    );
    Ok((Prepared { input, text, cleanup: String::new() }, second))
}

/// The numbers of the rows whose parent by that key is not there.
pub(super) fn without_parent<'a>(
    access: &TableAccess,
    facts: &Facts,
    items: &[Item<'a>],
    key: &ForeignKey,
    columns: &[usize],
) -> Built<'a> {
    let mut input = Input::new(items.len());
    let mut equal = Vec::new();
    for (index, parent) in columns.iter().copied().zip(&key.parent_columns) {
        let column = &access.columns[index];
        let bound = bind(&mut input, access, index, items, |item| item.write.value_after(index))?;
        // A key and what refers to it have one type and one collation.
        equal.push(equals("p", parent, column, facts.collation(&column.name), &bound));
    }
    let text = format!(
        "SELECT N'{ROW}', i.n FROM #berqenas_input AS i WHERE NOT EXISTS (SELECT 1 FROM {} AS p WHERE {});",
        quoted_table(&key.parent),
        equal.join(" AND ")
    );
    Ok(Prepared { input, text, cleanup: String::new() })
}

/// Of texts for columns in a code page, the numbers of the rows that have a character which the code page does not: the server would
/// put a similar one, or a question mark, in its place without a word. `None`: there are no such columns among them.
pub(super) fn beyond_code_page<'a>(access: &TableAccess, facts: &Facts, columns: &[usize], items: &[Item<'a>]) -> Option<Built<'a>> {
    let foreign = |value: Option<&Stored>| matches!(value, Some(Stored::Text(text)) if !text.is_ascii());
    let in_code_page = |index: &&usize| sql::Family::of(&access.columns[**index].declared) == sql::Family::CodePage;
    let asked: Vec<usize> = columns
        .iter()
        .filter(in_code_page)
        .copied()
        .filter(|index| items.iter().any(|item| foreign(item.write.value_after(*index))))
        .collect();
    if asked.is_empty() {
        return None;
    }
    let mut input = Input::new(items.len());
    let mut lost = Vec::new();
    for index in asked {
        let column = &access.columns[index];
        let collation = facts.collation(&column.name).unwrap_or("DATABASE_DEFAULT");
        let bound = match bind(&mut input, access, index, items, |item| item.write.value_after(index)) {
            Ok(bound) => bound,
            Err(what) => return Some(Err(what)),
        };
        lost.push(format!(
            "CONVERT(NVARCHAR(MAX), CONVERT(VARCHAR(MAX), {bound} COLLATE {collation})) COLLATE {0} <> {bound} COLLATE {0}",
            sql::BY_CODE_UNITS
        ));
    }
    let text = format!("SELECT N'{ROW}', i.n FROM #berqenas_input AS i WHERE {};", lost.join(" OR "));
    Some(Ok(Prepared { input, text, cleanup: String::new() }))
}

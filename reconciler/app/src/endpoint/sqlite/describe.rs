//! The shape of a table, read from SQLite's catalogue and, where declarations say too little, off its rows.

use std::collections::BTreeMap;

use berqenas_core::{
    shape::{ColumnShape, ColumnType, Engine, ForeignKey, Referrer, TableName, TableShape, Tick, TimeStyle, TriggerShape, UniqueKey},
    value::Stored,
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    prepare::MARKER,
    sql::{self, Statement, quote},
};

type Answer<T> = Result<T, sqlx::Error>;

/// How many stored values are looked at to see how a column writes times.
const SAMPLE: usize = 50;

/// The ordinary tables, without SQLite's own and ours.
pub(super) async fn tables(connection: &mut SqliteConnection) -> Answer<Vec<TableName>> {
    let list = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
                AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'berqenas\\_%' ESCAPE '\\' ORDER BY name COLLATE BINARY";
    let rows = Statement::new(list).fetch(connection).await?;
    Ok(rows.iter().map(|row| TableName { schema: "main".to_owned(), name: row.get(0) }).collect())
}

/// The shape of a table; `None`: there is no ordinary table of that name.
pub(super) async fn table(connection: &mut SqliteConnection, name: &TableName) -> Answer<Option<TableShape>> {
    let kind = "SELECT strict, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name = ";
    let kind = about(connection, kind, &name.name).await?;
    let Some((strict, without_rowid)) = kind.first().map(|row| (row.get::<bool, _>(0), row.get::<bool, _>(1))) else { return Ok(None) };
    let (mut columns, primary_key) = columns(connection, name, strict, without_rowid).await?;
    for column in columns.iter_mut().filter(|column| may_hold_times(column)) {
        sample(connection, name, column).await?;
    }
    let (uniques, indexed) = indexes(connection, name, &primary_key).await?;
    let foreign_keys = foreign_keys(connection, name).await?;
    let referrers = referrers(connection, name).await?;
    let triggers = triggers(connection, name).await?;
    let name = name.clone();
    Ok(Some(TableShape { engine: Engine::Sqlite, name, columns, primary_key, uniques, foreign_keys, referrers, triggers, indexed }))
}

/// Runs a question that ends in a name.
async fn about(connection: &mut SqliteConnection, question: &str, name: &str) -> Answer<Vec<SqliteRow>> {
    Statement::new(question).bind(Stored::Text(name.to_owned())).fetch(connection).await
}

async fn columns(
    connection: &mut SqliteConnection,
    table: &TableName,
    strict: bool,
    without_rowid: bool,
) -> Answer<(Vec<ColumnShape>, Vec<String>)> {
    let question = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo WHERE schema = 'main' AND arg = ";
    let rows = about(connection, question, &table.name).await?;
    let mut key: Vec<(i64, String)> =
        rows.iter().map(|row| (row.get::<i64, _>("pk"), row.get::<String, _>("name"))).filter(|(position, _)| *position > 0).collect();
    key.sort();
    let column = |row: &SqliteRow| {
        let declared: String = row.get("type");
        let in_key = row.get::<i64, _>("pk") > 0;
        // A key of the one type INTEGER is the rowid: SQLite numbers it, and it is never NULL.
        let rowid = in_key && key.len() == 1 && declared.eq_ignore_ascii_case("INTEGER") && !without_rowid;
        ColumnShape {
            engine: Engine::Sqlite,
            name: row.get("name"),
            kind: kind(&declared),
            dynamic: !strict || declared.eq_ignore_ascii_case("ANY"),
            affinity: affinity(&declared).to_owned(),
            time_style: TimeStyle::default(),
            nullable: !row.get::<bool, _>("notnull") && !in_key,
            default: row.get("dflt_value"),
            computed: row.get::<i64, _>("hidden") >= 2,
            generated: rowid,
            identity_always: false,
            declared,
        }
    };
    let columns = rows.iter().map(column).collect();
    Ok((columns, key.into_iter().map(|(_, name)| name).collect()))
}

/// SQLite's five rules, in their order.
pub(super) fn affinity(declared: &str) -> &'static str {
    let declared = declared.to_ascii_uppercase();
    let holds = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if holds(&["INT"]) {
        "INTEGER"
    } else if holds(&["CHAR", "CLOB", "TEXT"]) {
        "TEXT"
    } else if declared.trim().is_empty() || holds(&["BLOB"]) {
        "BLOB"
    } else if holds(&["REAL", "FLOA", "DOUB"]) {
        "REAL"
    } else {
        "NUMERIC"
    }
}

/// What the declared type's name says to a person. SQLite itself holds no column to it.
pub(super) fn kind(declared: &str) -> ColumnType {
    let upper = declared.trim().to_ascii_uppercase();
    let (name, arguments) = upper.split_once('(').unwrap_or((&upper, ""));
    let mut arguments = arguments.trim_end().trim_end_matches(')').split(',').map(str::trim);
    let (first, second) = (arguments.next(), arguments.next());
    let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let starts = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if starts(&["BOOL"]) || name.trim() == "BIT" {
        ColumnType::Boolean
    } else if starts(&["TIMESTAMP", "DATETIME", "SMALLDATETIME"]) {
        ColumnType::Timestamp { tick: Tick::Digits(3), zone: false }
    } else if starts(&["DATE"]) {
        ColumnType::Date
    } else if starts(&["TIME"]) {
        ColumnType::Time { digits: 3 }
    } else if starts(&["UUID", "GUID", "UNIQUEIDENTIFIER"]) {
        ColumnType::Uuid
    } else if starts(&["JSON"]) {
        ColumnType::Json
    } else if holds(&["INT"]) {
        ColumnType::Integer { bits: 64 }
    } else if holds(&["CHAR", "CLOB", "TEXT"]) {
        ColumnType::Text { max_chars: first.and_then(|length| length.parse().ok()), padded: false }
    } else if name.trim().is_empty() || holds(&["BLOB", "BINARY", "IMAGE"]) || name.trim() == "ANY" {
        ColumnType::Bytes
    } else if holds(&["REAL", "FLOA", "DOUB"]) {
        ColumnType::Float { bits: 64 }
    } else {
        let scale = second.and_then(|digits| digits.parse().ok());
        let precision = first.and_then(|digits| digits.parse().ok());
        // DECIMAL(10) has no digits after the point.
        ColumnType::Decimal { precision, scale: scale.or(precision.map(|_| 0)) }
    }
}

/// Whether a column's declaration leaves it open that it holds times: SQLite users keep them in text and integers too.
fn may_hold_times(column: &ColumnShape) -> bool {
    use ColumnType::{Integer, Text, Time, Timestamp};
    !column.computed && matches!(column.kind, Timestamp { .. } | Time { .. } | Text { .. } | Integer { .. })
}

/// Looks at stored values for what the declaration of a time cannot say: form and digits.
async fn sample(connection: &mut SqliteConnection, table: &TableName, column: &mut ColumnShape) -> Answer<()> {
    let name = quote(&column.name);
    // Within so many rows: a column that is always NULL is not searched to the end of the table.
    let question = format!(
        "SELECT v FROM (SELECT t.{name} AS v FROM {} AS t LIMIT {}) WHERE v IS NOT NULL LIMIT {SAMPLE}",
        sql::table(table),
        SAMPLE * 100
    );
    let rows = Statement::new(question).fetch(connection).await?;
    // A value that cannot be read shows no style; reading the row will say what is wrong with it.
    let values: Vec<Stored> = rows.iter().filter_map(|row| sql::read_value(row, 0).ok()).collect();
    let times: Vec<Stored> = values.iter().filter(|value| super::time::stamp(value).is_some()).cloned().collect();
    column.time_style = match &column.kind {
        // In a column for integers no text is wanted.
        ColumnType::Integer { .. } if times.is_empty() => TimeStyle::UnixSeconds,
        _ => style(&times),
    };
    match (&mut column.kind, digits_shown(&values)) {
        (ColumnType::Timestamp { tick, .. }, Some(shown)) => *tick = Tick::Digits(shown),
        (ColumnType::Time { digits }, Some(shown)) => *digits = shown,
        _ => {}
    }
    Ok(())
}

/// The form that most of the values have; the default where there are none.
pub(super) fn style(values: &[Stored]) -> TimeStyle {
    let each = values.iter().filter_map(|value| match value {
        Stored::Text(text) => match text.as_bytes().get(10) {
            Some(b'T' | b't') if text.ends_with(['Z', 'z']) => Some(TimeStyle::LetterTZulu),
            Some(b'T' | b't') => Some(TimeStyle::LetterT),
            _ => Some(TimeStyle::Blank),
        },
        Stored::Int(number) if number.unsigned_abs() < super::time::FIRST_MILLISECOND => Some(TimeStyle::UnixSeconds),
        Stored::Int(_) => Some(TimeStyle::UnixMillis),
        Stored::Null | Stored::Real(_) | Stored::Bytes(_) => None,
    });
    let mut counts: Vec<(TimeStyle, usize)> = Vec::new();
    for style in each {
        match counts.iter_mut().find(|(known, _)| *known == style) {
            Some((_, count)) => *count += 1,
            None => counts.push((style, 1)),
        }
    }
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(TimeStyle::default(), |(style, _)| *style)
}

/// The most digits that a second's fraction has among the values, 3 at least, 9 at most. `None`: there are no values.
fn digits_shown(values: &[Stored]) -> Option<u8> {
    let fraction = |value: &Stored| match value {
        Stored::Text(text) => text.rsplit_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count()),
        _ => 0,
    };
    values.iter().map(fraction).max().and_then(|most| u8::try_from(most.clamp(3, 9)).ok())
}

/// Unique keys beside the primary key, and the first columns of all indexes.
async fn indexes(connection: &mut SqliteConnection, table: &TableName, key: &[String]) -> Answer<(Vec<UniqueKey>, Vec<String>)> {
    let question = "SELECT l.name, l.\"unique\" AND NOT l.partial AND l.origin <> 'pk' AS counts, l.partial, x.name AS col \
                    FROM pragma_index_list AS l, pragma_index_xinfo AS x ON x.arg = l.name AND x.schema = 'main' AND x.\"key\" \
                    WHERE l.schema = 'main' AND l.arg = ";
    let ordered = Statement::new(question).bind(Stored::Text(table.name.clone())).push(" ORDER BY l.seq, x.seqno");
    let mut indexes: BTreeMap<String, (bool, bool, Vec<Option<String>>)> = BTreeMap::new();
    for row in ordered.fetch(connection).await? {
        let entry = indexes.entry(row.get(0)).or_insert_with(|| (row.get(1), row.get(2), Vec::new()));
        entry.2.push(row.get(3));
    }
    let mut uniques = Vec::new();
    let mut indexed: Vec<String> = key.first().cloned().into_iter().collect();
    for (name, (unique, partial, columns)) in indexes {
        if let (Some(Some(first)), false) = (columns.first(), partial) {
            indexed.push(first.clone());
        }
        // An index over an expression has no column name in its place.
        if let (true, Some(columns)) = (unique, columns.into_iter().collect::<Option<Vec<_>>>()) {
            uniques.push(UniqueKey { name, columns });
        }
    }
    indexed.sort();
    indexed.dedup();
    Ok((uniques, indexed))
}

/// The foreign keys of a table. Where none are named, the parent's columns are its primary key. The parent and its columns are
/// spelt as the parent spells them, which declarations need not do.
pub(super) async fn foreign_keys(connection: &mut SqliteConnection, table: &TableName) -> Answer<Vec<ForeignKey>> {
    let question = "SELECT id, coalesce((SELECT l.name FROM pragma_table_list AS l WHERE l.schema = 'main' \
                    AND l.name = f.\"table\" COLLATE NOCASE), f.\"table\"), \"from\", \
                    coalesce((SELECT p.name FROM pragma_table_xinfo AS p WHERE p.schema = 'main' AND p.arg = f.\"table\" \
                    AND iif(f.\"to\" IS NULL, p.pk = f.seq + 1, p.name = f.\"to\" COLLATE NOCASE)), f.\"to\") \
                    FROM pragma_foreign_key_list AS f WHERE f.schema = 'main' AND f.arg = ";
    let ordered = Statement::new(question).bind(Stored::Text(table.name.clone())).push(" ORDER BY id, seq");
    let mut keys: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    for row in ordered.fetch(connection).await? {
        let parent = TableName { schema: table.schema.clone(), name: row.get(1) };
        let key = keys.entry(row.get(0)).or_insert_with(|| ForeignKey {
            name: String::new(),
            columns: Vec::new(),
            parent,
            parent_columns: Vec::new(),
            // Any check can wait: `PRAGMA defer_foreign_keys`.
            deferrable: true,
        });
        key.columns.push(row.get(2));
        key.parent_columns.extend(row.get::<Option<String>, _>(3));
    }
    Ok(keys.into_values().collect())
}

async fn referrers(connection: &mut SqliteConnection, parent: &TableName) -> Answer<Vec<Referrer>> {
    let question = "SELECT DISTINCT l.name FROM pragma_table_list AS l, pragma_foreign_key_list AS f ON f.arg = l.name AND f.schema = 'main' \
                    WHERE l.schema = 'main' AND l.type = 'table' AND f.\"table\" COLLATE NOCASE = ";
    let mut referrers = Vec::new();
    for row in Statement::new(question).bind(Stored::Text(parent.name.clone())).push(" ORDER BY 1").fetch(connection).await? {
        let child = TableName { schema: parent.schema.clone(), name: row.get(0) };
        let keys = foreign_keys(connection, &child).await?;
        let to_parent = keys.into_iter().filter(|key| key.parent.name.eq_ignore_ascii_case(&parent.name));
        referrers.extend(to_parent.map(|key| Referrer { child: child.clone(), columns: key.columns, parent_columns: key.parent_columns }));
    }
    Ok(referrers)
}

async fn triggers(connection: &mut SqliteConnection, table: &TableName) -> Answer<Vec<TriggerShape>> {
    let question = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name COLLATE NOCASE = ";
    let rows = Statement::new(question).bind(Stored::Text(table.name.clone())).push(" ORDER BY name").fetch(connection).await?;
    let trigger = |row: &SqliteRow| {
        let definition: String = row.get(1);
        let event = trigger_event(&definition);
        let ours = definition.contains(MARKER);
        TriggerShape { name: row.get(0), ours, on_insert: event == "INSERT", on_update: event == "UPDATE" }
    };
    Ok(rows.iter().map(trigger).collect())
}

/// What fires a trigger: `INSERT`, `UPDATE` or `DELETE`, the first such word of its definition that is not quoted or a comment.
/// All three are reserved, so that a trigger of such a name has it quoted.
pub(super) fn trigger_event(definition: &str) -> &'static str {
    let bare = without_quoted(definition).to_ascii_uppercase();
    let mut words = bare.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '$');
    words.find_map(|word| ["INSERT", "UPDATE", "DELETE"].into_iter().find(|event| *event == word)).unwrap_or_default()
}

/// SQL with a blank for each quoted name, text and comment.
fn without_quoted(sql: &str) -> String {
    const QUOTES: [(&str, &str); 6] = [("\"", "\""), ("'", "'"), ("`", "`"), ("[", "]"), ("/*", "*/"), ("--", "\n")];
    let mut bare = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(letter) = rest.chars().next() {
        if let Some((open, close)) = QUOTES.iter().find(|(open, _)| rest.starts_with(open)) {
            let inside = &rest[open.len()..];
            rest = inside.find(close).map_or("", |end| &inside[end + close.len()..]);
            bare.push(' ');
        } else {
            bare.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    bare
}

//! How this engine's names and values are spelled: the one quoting function, and the text transport.
//!
//! Values travel as text in one fixed form for each type (bytes as bytes, floats as floats when they are read), whatever the language of
//! the login. Comparisons of text never go by a collation, which may hold `a`, `A` and `a ` equal: they go by code units, and length.

use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, TableAccess},
    shape::TableName,
};

/// Quotes an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// Quotes a table's name, schema and all.
pub(super) fn quoted_table(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// A literal text. Only for names that a statement takes as text; values are bound, or sent in bulk.
pub(super) fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// By code units, in every release.
pub(super) const BY_CODE_UNITS: &str = "Latin1_General_100_BIN2";
/// By the bytes of UTF-8, from SQL Server 2019 on.
const BY_UTF8: &str = "Latin1_General_100_BIN2_UTF8";

/// Types that are read, written and compared alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `bit`
    Bit,
    /// Whole and decimal numbers.
    Number,
    /// Dates, times of day, points in time without offset.
    Time,
    /// `money` and `smallmoney`, which lose digits unless they are read as decimals.
    Money,
    /// `float` and `real`
    Float,
    /// `datetimeoffset`: two of them are equal when their instants are, so that it is compared as text.
    Offset,
    /// `uniqueidentifier`
    Uuid,
    /// Text of Unicode characters.
    Unicode,
    /// Text in a code page.
    CodePage,
    /// Bytes.
    Bytes,
    /// `hierarchyid`
    Hierarchy,
    /// `xml` and `json`, which nothing is equal to, so that they are compared as text.
    Document,
}

impl Family {
    /// The family of a type, as the engine spells it.
    pub(super) fn of(declared: &str) -> Family {
        match base(declared) {
            "bit" => Family::Bit,
            "money" | "smallmoney" => Family::Money,
            "float" | "real" => Family::Float,
            "datetimeoffset" => Family::Offset,
            "uniqueidentifier" => Family::Uuid,
            "nchar" | "nvarchar" | "ntext" | "sysname" => Family::Unicode,
            "char" | "varchar" | "text" => Family::CodePage,
            "binary" | "varbinary" | "image" | "rowversion" | "timestamp" => Family::Bytes,
            "hierarchyid" => Family::Hierarchy,
            "xml" | "json" => Family::Document,
            "date" | "time" | "datetime" | "smalldatetime" | "datetime2" => Family::Time,
            _ => Family::Number,
        }
    }
}

fn base(declared: &str) -> &str {
    declared.split('(').next().unwrap_or(declared)
}

/// The number of the style in which points in time are written and read: `yyyy-mm-dd hh:mi:ss.nnnnnnn`, whatever the login's language.
const STYLE: &str = "121";

/// The expression that reads a column of the table named `t`, in the form that [`super::values`] takes.
pub(super) fn read(column: &AccessColumn) -> String {
    let name = format!("t.{}", quoted(&column.name));
    match Family::of(&column.declared) {
        Family::Bit => format!("CASE {name} WHEN 1 THEN N'true' WHEN 0 THEN N'false' END"),
        Family::Money => format!("CONVERT(NVARCHAR(40), CONVERT(DECIMAL(19, 4), {name}))"),
        Family::Float => name,
        Family::Uuid => format!("LOWER(CONVERT(NVARCHAR(36), {name}))"),
        // Of a fixed or short type the driver takes them as they are; of a code page it would have to know the code page.
        Family::Unicode if base(&column.declared) != "ntext" => name,
        Family::Unicode | Family::CodePage | Family::Document => format!("CONVERT(NVARCHAR(MAX), {name})"),
        Family::Bytes => format!("CONVERT(VARBINARY(MAX), {name})"),
        Family::Hierarchy => format!("{name}.ToString()"),
        Family::Number => format!("CONVERT(NVARCHAR(50), {name})"),
        Family::Time | Family::Offset => format!("CONVERT(NVARCHAR(50), {name}, {STYLE})"),
    }
}

/// A text of the input as a value of a column's type, for the column to be set to. Text is given as it is: the column's own collation
/// and length decide.
pub(super) fn cast(column: &AccessColumn, input: &str) -> String {
    let declared = &column.declared;
    match Family::of(declared) {
        Family::Unicode | Family::CodePage | Family::Bytes => input.to_owned(),
        Family::Hierarchy => format!("hierarchyid::Parse({input})"),
        // With white space kept that stands alone.
        Family::Document if base(declared) == "xml" => format!("CONVERT(xml, {input}, 1)"),
        Family::Document => format!("CONVERT({}, {input})", base(declared)),
        Family::Time | Family::Offset => format!("CONVERT({declared}, {input}, {STYLE})"),
        Family::Bit | Family::Number | Family::Money | Family::Float | Family::Uuid => format!("CONVERT({declared}, {input})"),
    }
}

/// `alias.name = …`: a column of the given one's type, in its own type and collation, so that an index serves. What is no such value is
/// equal to none.
pub(super) fn equals(alias: &str, name: &str, column: &AccessColumn, collation: Option<&str>, input: &str) -> String {
    let collation = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    let name = format!("{alias}.{}", quoted(name));
    match Family::of(&column.declared) {
        Family::Unicode => format!("{name} = CONVERT(NVARCHAR(4000), {input}){collation}"),
        Family::CodePage => format!("{name} = CONVERT(VARCHAR(8000), {input}{collation})"),
        Family::Bytes => format!("{name} = CONVERT(VARBINARY(8000), {input})"),
        Family::Hierarchy => format!("{name} = {}", cast(column, input)),
        Family::Document => format!("CONVERT(NVARCHAR(MAX), {name}) = {input}"),
        Family::Time | Family::Offset => format!("{name} = TRY_CONVERT({}, {input}, {STYLE})", column.declared),
        Family::Bit | Family::Number | Family::Money | Family::Float | Family::Uuid => {
            format!("{name} = TRY_CONVERT({}, {input})", column.declared)
        }
    }
}

/// [`equals`], of a key column of the table named `t`.
pub(super) fn key_equals(column: &AccessColumn, collation: Option<&str>, input: &str) -> String {
    equals("t", &column.name, column, collation, input)
}

/// What has to be the same of a column and of what was read of it, for `INTERSECT`, which holds NULL equal to NULL. The terms of the
/// column come first.
pub(super) fn unchanged(column: &AccessColumn, input: &str) -> (Vec<String>, Vec<String>) {
    let name = format!("t.{}", quoted(&column.name));
    let measured = |stored: String, input: &str, collation: &str| {
        (
            // Blanks at the end, and bytes of zero, do not count when such values are compared.
            vec![format!("{stored}{collation}"), format!("DATALENGTH({stored})")],
            vec![format!("{input}{collation}"), format!("DATALENGTH({input})")],
        )
    };
    let by_code_units = format!(" COLLATE {BY_CODE_UNITS}");
    match Family::of(&column.declared) {
        Family::Unicode | Family::CodePage => measured(format!("CONVERT(NVARCHAR(MAX), {name})"), input, &by_code_units),
        Family::Bytes => measured(format!("CONVERT(VARBINARY(MAX), {name})"), input, ""),
        Family::Offset | Family::Document => measured(read(column), input, &by_code_units),
        _ => (vec![name], vec![cast(column, input)]),
    }
}

/// How a server can be made to sort text by the bytes of its UTF-8 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextOrder {
    /// It has collations that do.
    Utf8,
    /// It sorts by code units, where characters beyond U+FFFF come before those from U+E000 on. Whoever reads has to make sure that
    /// no two keys show it.
    CodeUnits,
}

/// The sort expression of a key column: the same order on every engine, whatever the collation.
pub(super) fn order(column: &AccessColumn, text: TextOrder) -> String {
    let name = format!("t.{}", quoted(&column.name));
    let by_text = |stored: &str| match text {
        // As bytes: as text, blanks at the end would not count.
        TextOrder::Utf8 => format!("CONVERT(VARBINARY(8000), CONVERT(VARCHAR(8000), {stored} COLLATE {BY_UTF8}))"),
        TextOrder::CodeUnits => format!("{stored} COLLATE {BY_CODE_UNITS}"),
    };
    match column.order {
        // Its own order begins with its last bytes; that of its text form with the first.
        Some(KeyOrder::Uuid) if Family::of(&column.declared) == Family::Uuid => by_text(&format!("CONVERT(NVARCHAR(36), {name})")),
        Some(KeyOrder::Uuid) => by_text(&format!("REPLACE(LOWER(CONVERT(NVARCHAR(100), {name})), N'-', N'')")),
        Some(KeyOrder::Text) => {
            let stored = match base(&column.declared) {
                "hierarchyid" => read(column),
                // What pads them is no part of them.
                "char" | "nchar" => format!("RTRIM({name})"),
                _ => name,
            };
            by_text(&format!("CONVERT(NVARCHAR(4000), {stored})"))
        }
        _ => name,
    }
}

/// Whether a column holds points in time.
pub(super) fn is_time(column: &AccessColumn) -> bool {
    matches!(base(&column.declared), "datetime" | "smalldatetime" | "datetime2" | "datetimeoffset")
}

/// The current time; a column with an offset takes it as the one of UTC.
pub(super) const NOW: &str = "SYSUTCDATETIME()";

/// All of a row of the table named `t`.
pub(super) fn read_row(access: &TableAccess) -> String {
    access.columns.iter().map(read).collect::<Vec<_>>().join(", ")
}

/// A column that a guard compares: the bookkeeping is not content.
pub(super) fn is_content(column: &AccessColumn) -> bool {
    matches!(column.role, Role::Key | Role::Data | Role::IsDeleted)
}

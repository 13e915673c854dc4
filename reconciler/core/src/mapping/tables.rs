//! Finding the table that a spec names.

use super::MappingFault;
use crate::{
    names::{Match, match_name, suggest},
    shape::TableName,
};

/// How a table is spelled when names are compared.
type Spelling<'a> = &'a dyn Fn(&TableName) -> String;

/// Finds a table by its name, or by `schema.name`. Plain names are looked for in the default schema first (if none is given, the
/// schema of the first table), then in all.
///
/// # Errors
/// If there is no such table, or more than one, with the nearest names.
pub fn find_table(spec_name: &str, tables: &[TableName], default_schema: Option<&str>) -> Result<TableName, MappingFault> {
    let default = default_schema.or(tables.first().map(|table| table.schema.as_str())).unwrap_or_default();
    let at_home: Vec<&TableName> = tables.iter().filter(|table| table.schema == default).collect();
    let everywhere: Vec<&TableName> = tables.iter().collect();
    let plain = |table: &TableName| table.name.clone();
    let qualified = |table: &TableName| table.to_string();
    let attempts: [(&[&TableName], Spelling<'_>); 3] = [(&at_home, &plain), (&everywhere, &qualified), (&everywhere, &plain)];
    for (candidates, spelled) in attempts {
        match only_match(spec_name, candidates, spelled) {
            Ok(None) => {}
            Ok(Some(table)) => return Ok(table),
            Err(alike) => return Err(ambiguous(spec_name, &alike)),
        }
    }
    Err(unknown(spec_name, tables, default))
}

/// The one table of that name; `Ok(None)`: no table; `Err`: these.
fn only_match(wanted: &str, tables: &[&TableName], spelled: Spelling<'_>) -> Result<Option<TableName>, Vec<String>> {
    let names: Vec<String> = tables.iter().map(|table| spelled(table)).collect();
    let named =
        |name: &str| tables.iter().zip(&names).filter(|(_, spelling)| *spelling == name).map(|(table, _)| *table).collect::<Vec<_>>();
    let found: Vec<&TableName> = match match_name(wanted, names.iter().map(String::as_str)) {
        Match::None => Vec::new(),
        Match::One(name) => named(name),
        Match::Ambiguous(alike) => alike.into_iter().flat_map(named).collect(),
    };
    match found.as_slice() {
        [] => Ok(None),
        [table] => Ok(Some((*table).clone())),
        several => Err(several.iter().map(ToString::to_string).collect()),
    }
}

fn ambiguous(spec_name: &str, alike: &[String]) -> MappingFault {
    MappingFault {
        table: spec_name.to_owned(),
        column: None,
        message: format!("the name could mean several tables: {}", alike.join(", ")),
        hint: "write the one you mean exactly as the database spells it, with its schema".into(),
    }
}

fn unknown(spec_name: &str, tables: &[TableName], default: &str) -> MappingFault {
    let display = |table: &TableName| if table.schema == default { table.name.clone() } else { table.to_string() };
    let names: Vec<String> = tables.iter().map(display).collect();
    let hint = match suggest(spec_name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "the database has no tables, or the login may not see them".into(),
        None => {
            const SHOWN: usize = 8;
            let rest = if names.len() > SHOWN { ", …" } else { "" };
            format!("the tables are: {}{rest}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
        }
    };
    MappingFault { table: spec_name.to_owned(), column: None, message: "there is no such table".into(), hint }
}

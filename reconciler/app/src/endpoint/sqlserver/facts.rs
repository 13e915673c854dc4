//! What statements have to know of a table beyond what is asked of it: collations, columns that take NULL or number themselves,
//! triggers that act in place of a write.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use berqenas_core::shape::TableName;

use super::{
    SqlServerEndpoint,
    sql::quoted_table,
    values::{get, number, text},
};
use crate::endpoint::{Result, doing::Doing};

/// A table's columns, by their own spelling.
const COLUMNS: &str = "
    SELECT v.COLUMN_NAME, c.collation_name, c.is_nullable, c.is_identity, b.name
      FROM INFORMATION_SCHEMA.COLUMNS AS v
      JOIN sys.columns AS c ON c.object_id = OBJECT_ID(@P1) AND c.name = v.COLUMN_NAME
      LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id
     WHERE v.TABLE_SCHEMA = @P2 AND v.TABLE_NAME = @P3";

const SEES_ALL: &str = "SELECT COALESCE(HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'VIEW DEFINITION'), 0)";

const INSTEAD_OF: &str = "
    SELECT e.type_desc FROM sys.triggers AS t JOIN sys.trigger_events AS e ON e.object_id = t.object_id
     WHERE t.parent_id = OBJECT_ID(@P1) AND t.is_instead_of_trigger = 1 AND t.is_disabled = 0";

/// What is known of a table.
#[derive(Debug, Default)]
pub(super) struct Facts {
    collations: HashMap<String, String>,
    nullable: BTreeSet<String>,
    /// Its identity column: what the server numbers by itself unless told otherwise.
    pub(super) identity: Option<String>,
    /// Its column that the server counts up with every write.
    pub(super) rowversion: Option<String>,
    /// Foreign keys of every other table can be seen: those of tables that a login has no right to are hidden from it.
    pub(super) sees_referrers: bool,
    /// Text may hold halves of characters: it is kept as UTF-16, which nobody looks at.
    pub(super) holds_halves: bool,
    /// The statements that a trigger acts in place of: `INSERT`, `UPDATE`, `DELETE`.
    instead_of: BTreeSet<String>,
}

impl Facts {
    /// Facts for tests: columns of one collation, the identity column, those that take NULL, what triggers act in place of.
    #[cfg(test)]
    pub(super) fn made_up(collation: &str, texts: &[&str], identity: &str, nullable: &[&str], instead_of: &[&str]) -> Facts {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Facts {
            collations: texts.iter().map(|name| ((*name).to_owned(), collation.to_owned())).collect(),
            nullable: set(nullable),
            identity: Some(identity.to_owned()),
            rowversion: Some("row version".to_owned()),
            sees_referrers: true,
            holds_halves: true,
            instead_of: set(instead_of),
        }
    }

    /// The collation of a column, if it has one.
    pub(super) fn collation(&self, column: &str) -> Option<&str> {
        self.collations.get(column).map(String::as_str)
    }

    /// Whether a column takes NULL.
    pub(super) fn is_nullable(&self, column: &str) -> bool {
        self.nullable.contains(column)
    }

    /// Whether a trigger acts in place of that statement.
    pub(super) fn is_replaced(&self, statement: &str) -> bool {
        self.instead_of.contains(statement)
    }
}

impl SqlServerEndpoint {
    /// What is known of a table; asked once.
    pub(super) async fn facts(&self, table: &TableName) -> Result<Arc<Facts>> {
        if let Some(facts) = self.known().get(table) {
            return Ok(Arc::clone(facts));
        }
        let doing = Doing::to("describing", table);
        let id = quoted_table(table);
        let mut lent = self.lend().await?;
        let read = async {
            let connection = lent.connection()?;
            let mut facts = Facts { holds_halves: !self.server.is_emulated, ..Facts::default() };
            for row in connection.query(COLUMNS, &[&id, &table.schema, &table.name]).await? {
                let name = text(&row, 0)?;
                if let Some(collation) = get::<&str>(&row, 1)? {
                    facts.collations.insert(name.clone(), collation.to_owned());
                }
                if get::<&str>(&row, 4)?.is_some_and(|base| matches!(base, "timestamp" | "rowversion")) {
                    facts.rowversion = Some(name.clone());
                }
                if number(&row, 3)? != 0 {
                    facts.identity = Some(name.clone());
                }
                if number(&row, 2)? != 0 {
                    facts.nullable.insert(name);
                }
            }
            facts.sees_referrers = self.server.is_emulated || {
                let rows = connection.batch(SEES_ALL).await?;
                rows.iter().flatten().next().map_or(Ok(0), |row| number(row, 0))? != 0
            };
            let replaced = connection.query(INSTEAD_OF, &[&id]).await?;
            facts.instead_of = replaced.iter().map(|row| text(row, 0)).collect::<tiberius::Result<_>>()?;
            Ok(facts)
        };
        let facts = Arc::new(read.await.map_err(|error| self.session.error(doing, error))?);
        self.known().insert(table.clone(), Arc::clone(&facts));
        Ok(facts)
    }
}

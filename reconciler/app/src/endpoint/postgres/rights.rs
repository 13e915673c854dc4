//! The rights to tables that the login lacks.

use berqenas_core::shape::TableName;

use super::{
    PostgresEndpoint,
    sql::{quoted, quoted_table},
};
use crate::endpoint::{Result, TableUse, doing::Doing};

/// Rights to some columns may do: a sync need not touch all of them.
const RIGHTS: &str = "
    SELECT has_schema_privilege(n.oid, 'USAGE'), has_any_column_privilege(c.oid, 'SELECT'), has_any_column_privilege(c.oid, 'INSERT'),
           has_any_column_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE')
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";

/// The statements that grant them.
pub(super) async fn missing(endpoint: &PostgresEndpoint, uses: &[TableUse]) -> Result<Vec<String>> {
    let user = quoted(&endpoint.session.user);
    let mut grants = Vec::new();
    for used in uses {
        let (usage, select, insert, update, delete) = held(endpoint, &used.table).await?;
        if !usage {
            push_once(&mut grants, format!("GRANT USAGE ON SCHEMA {} TO {user};", quoted(&used.table.schema)));
        }
        let needed =
            [("SELECT", true, select), ("INSERT", used.writes, insert), ("UPDATE", used.writes, update), ("DELETE", used.deletes, delete)];
        let missing: Vec<&str> = needed.iter().filter(|(_, needed, held)| *needed && !held).map(|(right, ..)| *right).collect();
        if !missing.is_empty() {
            push_once(&mut grants, format!("GRANT {} ON {} TO {user};", missing.join(", "), quoted_table(&used.table)));
        }
    }
    Ok(grants)
}

/// Tables may share a schema.
fn push_once(grants: &mut Vec<String>, grant: String) {
    if !grants.contains(&grant) {
        grants.push(grant);
    }
}

async fn held(endpoint: &PostgresEndpoint, table: &TableName) -> Result<(bool, bool, bool, bool, bool)> {
    let rights = sqlx::query_as(RIGHTS).bind(&table.schema).bind(&table.name).fetch_one(&endpoint.pool);
    endpoint.session.run(Doing::to("reading the rights to", table), rights).await
}

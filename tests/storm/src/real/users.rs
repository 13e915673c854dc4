//! What users do in the real arena: connections of their own, transactions, writes over what they saw.

use super::{
    LOST_PERCENT, RealWorld, User,
    link::{Fault, Link},
    tables::row_of,
};
use crate::{
    arena::{Answer, NewRow},
    schema::{Cell, Content, TableKind},
};

impl RealWorld {
    /// A user's connection, made when first needed.
    pub(super) async fn link(&mut self, user: User) -> Option<&mut Link> {
        if !self.users.contains_key(&user) {
            let link = Link::open(&self.bases.get(user.0)?.url()).await.ok()?;
            self.users.insert(user, link);
        }
        self.users.get_mut(&user)
    }

    /// What a user was about is rolled back; a connection that does not even do that is let go of.
    pub(super) async fn give_up(&mut self, user: User) {
        self.open.remove(&user);
        if let Some(mut link) = self.users.remove(&user)
            && link.run("ROLLBACK").await.is_ok()
        {
            self.users.insert(user, link);
        }
    }

    /// Connections to a database are gone, and with them transactions that `told` does not tell their users of.
    pub(super) async fn disconnected(&mut self, database: usize, told: bool) {
        let gone: Vec<User> = self.users.keys().copied().filter(|user| user.0 == database).collect();
        for user in gone {
            if let Some(link) = self.users.remove(&user) {
                link.close().await;
            }
            if self.open.remove(&user) && !told {
                self.broken.insert(user);
            }
        }
    }

    /// A user reads a row, for himself or to write it.
    pub(super) async fn read(&mut self, user: User, kind: TableKind, key: &[Cell], held: bool) -> Result<Option<Content>, String> {
        let dialect = &self.bases.get(user.0).ok_or("no such database")?.dialect;
        let (query, hold) = (dialect.select(kind, Some(key), held), dialect.hold(kind, key).filter(|_| held));
        let link = self.link(user).await.ok_or("no connection")?;
        if let Some(hold) = hold {
            link.run(&hold).await.map_err(|fault| fault.to_string())?;
        }
        let lines = link.rows(&query).await.map_err(|fault| fault.to_string())?;
        lines.first().map(|line| row_of(kind, line).map(|(_, content)| content)).transpose()
    }

    /// Writes a row over what the user saw there; answers it as stored.
    pub(super) async fn write_over(&mut self, user: User, row: &NewRow<'_>) -> Result<Option<Content>, String> {
        let there = self.read(user, row.table, row.key, true).await?;
        if self.seen.get(&(user, row.table, row.key.to_vec())).is_some_and(|seen| *seen != there) {
            return Err("somebody else was faster".into());
        }
        let statement = self.bases[user.0].dialect.write(row, there.is_some());
        let link = self.link(user).await.ok_or("no connection")?;
        link.run(&statement).await.map_err(|fault| fault.to_string())?;
        self.read(user, row.table, row.key, false).await
    }

    pub(super) async fn commit(&mut self, user: User) -> Answer {
        self.open.remove(&user);
        let Some(link) = self.users.get_mut(&user) else { return Answer::Refused };
        if self.draws.u8(0..100) < LOST_PERCENT {
            // Whether it was done or not, he will not hear of it.
            let done = self.draws.bool() && link.run("COMMIT").await.is_ok();
            if let (false, Some(link)) = (done, self.users.remove(&user)) {
                link.close().await;
            }
            return Answer::Lost;
        }
        match link.run("COMMIT").await {
            Ok(()) => Answer::Done(None),
            Err(Fault::Refused(_)) => {
                self.give_up(user).await;
                Answer::Refused
            }
            Err(_) => {
                self.users.remove(&user);
                Answer::Lost
            }
        }
    }

    pub(super) async fn begin(&mut self, user: User) -> Answer {
        let Some(base) = self.bases.get(user.0) else { return Answer::Refused };
        // A user of SQLite may say at once that he is going to write.
        let at_once = base.port().is_none() && user.1 != 0;
        let Some(link) = self.link(user).await else { return Answer::Refused };
        match link.run(if at_once { "BEGIN IMMEDIATE" } else { "BEGIN" }).await {
            Ok(()) => {
                self.open.insert(user);
                Answer::Done(None)
            }
            Err(_) => {
                self.users.remove(&user);
                Answer::Refused
            }
        }
    }
}

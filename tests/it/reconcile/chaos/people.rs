//! The people who write into the databases all the time, and the book of what they wrote, by which it is judged that nothing is lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use berqenas_core::value::{Pair, Side};
use fastrand::Rng;

use super::bases::{Base, Link, contents};

/// Rows that only one side's people write.
const OWN: u32 = 40;
/// Rows that both sides' people write.
pub(super) const SHARED: u32 = 8;

/// Something that somebody wrote, or may have: the answer did not come.
#[derive(Clone, Debug)]
struct Write {
    id: String,
    body: String,
    /// What stood there before, where it was written over exactly that.
    saw: Option<String>,
    sure: bool,
}

/// What the people of one sync wrote, each side's in order.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Pair<Vec<Write>>>);

impl Book {
    fn note(&self, side: Side, write: Write) {
        self.0.lock().unwrap().get_mut(side).push(write);
    }

    /// How much was written, and of how much nobody knows.
    pub(super) fn counts(&self) -> (usize, usize) {
        let book = self.0.lock().unwrap();
        let all: Vec<&Write> = book.cloud.iter().chain(&book.local).collect();
        (all.iter().filter(|write| write.sure).count(), all.iter().filter(|write| !write.sure).count())
    }

    /// Holds both sides, which are in step, and every body in the conflict log to what was written.
    pub(super) async fn judge(&self, bases: &Pair<Base>, logged: &BTreeSet<String>) {
        let book = self.0.lock().unwrap().clone();
        let mut standing = BTreeSet::new();
        for side in Side::BOTH {
            let [live, deleted] = contents(bases.get(side)).await;
            for (id, allowed) in own(book.get(side)) {
                let found = live.get(&id).or(deleted.get(&id));
                assert!(allowed.contains(&found.cloned()), "{side} {id}: {found:?} stands there, its user wrote {allowed:?}");
            }
            standing.extend(live.into_values());
        }
        let shared: Vec<&Write> = book.cloud.iter().chain(&book.local).filter(|write| write.saw.is_some()).collect();
        let mut over: HashMap<&str, Vec<&Write>> = HashMap::new();
        for write in &shared {
            over.entry(write.saw.as_deref().unwrap()).or_default().push(write);
        }
        for write in shared.iter().filter(|write| write.sure) {
            let told = accounted(write, &over, &|body| standing.contains(body) || logged.contains(body));
            assert!(told, "{write:?} is lost: it stands nowhere, nobody wrote over it, and no conflict tells of it");
        }
    }
}

/// What may stand in each row of one side's own: what its user wrote last, or anything later of which he got no answer.
fn own(writes: &[Write]) -> BTreeMap<String, Vec<Option<String>>> {
    let mut allowed: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.saw.is_none()) {
        let allowed = allowed.entry(write.id.clone()).or_insert_with(|| vec![None]);
        if write.sure {
            allowed.clear();
        }
        allowed.push(Some(write.body.clone()));
    }
    allowed
}

/// Whether something written is where it must be: on both sides, in the conflict log, or under what somebody wrote who saw it.
fn accounted(write: &Write, over: &HashMap<&str, Vec<&Write>>, is_there: &impl Fn(&str) -> bool) -> bool {
    let mut open = vec![write.body.as_str()];
    while let Some(body) = open.pop() {
        if is_there(body) {
            return true;
        }
        for later in over.get(body).into_iter().flatten() {
            if later.sure {
                return true;
            }
            // If that was written, it must be somewhere itself.
            open.push(&later.body);
        }
    }
    false
}

/// Writes on one side of one sync until asked to stop, whatever becomes of the database.
pub(super) async fn write(base: Base, side: Side, seed: u64, book: &Book, stop: &AtomicBool) {
    let mut dice = Rng::with_seed(seed);
    let mut link: Option<Link> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let open = match link.take() {
            Some(open) => Some(open),
            None => base.link().await.ok(),
        };
        if let Some(mut open) = open {
            number += 1;
            let body = format!("{side}-{number}");
            let done = if dice.u8(..4) == 0 {
                over_what_stands(&mut open, side, body, &mut dice, book).await
            } else {
                own_row(&mut open, side, body, &mut dice, book).await
            };
            match done {
                // Somebody opens a new window now and then.
                Ok(()) if dice.u8(..20) > 0 => link = Some(open),
                Ok(()) => open.close().await,
                // What is left of a transaction goes with the connection.
                Err(_) => drop(open),
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.u64(10..60))).await;
    }
}

async fn own_row(link: &mut Link, side: Side, body: String, dice: &mut Rng, book: &Book) -> sqlx::Result<()> {
    let id = format!("{side}{}", dice.u32(..OWN));
    let deleted = if dice.u8(..8) == 0 { "(1 = 1)" } else { "(1 = 0)" };
    let statement = format!(
        "INSERT INTO notes (id, body, is_deleted) VALUES ('{id}', '{body}', {deleted})
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, is_deleted = excluded.is_deleted"
    );
    let written = if dice.u8(..15) == 0 {
        // A form that stays open for a while before it is saved.
        link.run("BEGIN").await?;
        link.run(&statement).await?;
        tokio::time::sleep(Duration::from_millis(dice.u64(..600))).await;
        link.run("COMMIT").await
    } else {
        link.run(&statement).await
    };
    book.note(side, Write { id, body, saw: None, sure: written.is_ok() });
    written.map(drop)
}

async fn over_what_stands(link: &mut Link, side: Side, body: String, dice: &mut Rng, book: &Book) -> sqlx::Result<()> {
    let id = format!("shared{}", dice.u32(..SHARED));
    let Some(saw) = link.rows(&format!("SELECT body FROM notes WHERE id = '{id}'")).await?.pop().and_then(|mut row| row.pop()) else {
        return Ok(());
    };
    let written = link.run(&format!("UPDATE notes SET body = '{body}' WHERE id = '{id}' AND body = '{saw}'")).await;
    if !matches!(written, Ok(0)) {
        book.note(side, Write { id, body, saw: Some(saw), sure: written.is_ok() });
    }
    written.map(drop)
}

//! Classify: from what both sides hold of one key, and what they last agreed on, to what that means.
//!
//! Input: [`Facts`], a handful of booleans. Output: [`Class`]. The algebra of section 2 of the semantics, and nothing else: no values,
//! no times, no policy. [`crate::strategy`] settles conflicts, [`crate::plan`] turns classes into steps.

use crate::value::{Pair, Side};

/// What one side holds under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// No row.
    Absent {
        /// The base says that this side had none (or had purged an agreed tombstone).
        same: bool,
    },
    /// A live row.
    Live {
        /// It is what the base says.
        same: bool,
    },
    /// A soft-deleted row.
    Tombstone {
        /// It is what the base says.
        same: bool,
    },
}

impl Presence {
    /// Whether the side is as the base says.
    #[must_use]
    pub fn is_same(self) -> bool {
        match self {
            Presence::Absent { same } | Presence::Live { same } | Presence::Tombstone { same } => same,
        }
    }

    /// Whether there is a row, deleted softly or not.
    #[must_use]
    pub fn is_present(self) -> bool {
        !matches!(self, Presence::Absent { .. })
    }
}

/// All that classification may know of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// What each side holds.
    pub sides: Pair<Presence>,
    /// There is a base row: the sides agreed on something once.
    pub known: bool,
    /// Both sides hold a row, with the same content at the common precision.
    pub equal: bool,
    /// This table was never synced before: rows that differ follow the policy `initial`.
    pub first_sync: bool,
    /// A database makes up keys of this table: two new rows under one key are two different things.
    pub key_generated: bool,
}

/// Why two rows cannot both be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Both sides edited the row.
    UpdateUpdate,
    /// One side soft-deleted the row, the other edited it.
    UpdateDelete,
    /// Both sides made a row under one key that people chose.
    InsertInsert,
    /// Both sides made a row under one key that a database made up: two unrelated rows.
    KeyClash,
    /// The rows differ at the first sync.
    Initial,
    /// One side deleted the row for good, the other still has it as agreed.
    HardDelete,
    /// One side deleted the row for good, the other edited it.
    HardDeleteUpdate,
    /// A row's unique value is held by another row on the other side.
    UniqueClash,
    /// A column that joined the sync has two different values.
    NewColumn,
    /// Both sides made the same edit: a conflict only to a strategy that merges against the base, since twice "plus one" is not
    /// "plus one".
    SameEdit,
}

impl ConflictKind {
    /// The kind as JSON spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictKind::UpdateUpdate => "update_update",
            ConflictKind::UpdateDelete => "update_delete",
            ConflictKind::InsertInsert => "insert_insert",
            ConflictKind::KeyClash => "key_clash",
            ConflictKind::Initial => "initial",
            ConflictKind::HardDelete => "hard_delete",
            ConflictKind::HardDeleteUpdate => "hard_delete_update",
            ConflictKind::UniqueClash => "unique_clash",
            ConflictKind::NewColumn => "new_column",
            ConflictKind::SameEdit => "same_edit",
        }
    }
}

/// What the facts mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Both sides are as agreed, or there is nothing to agree on.
    InStep,
    /// Both sides came to the same content by themselves: only the base is brought up to date.
    Converged,
    /// Both sides are rid of the row: the base forgets it.
    Gone,
    /// A soft-deleted row that only one side ever had: it stays where it is.
    LoneTombstone,
    /// One side deleted the row for good, the other softly: both want it gone.
    BothDeleted,
    /// A row that is new on one side.
    Insert {
        /// The side that lacks it.
        to: Side,
    },
    /// A row that changed on one side.
    Update {
        /// The side that is behind.
        to: Side,
    },
    /// A row that one side purged as an agreed tombstone and the other brought back to life.
    Revived {
        /// The side that lacks it.
        to: Side,
    },
    /// Two rows that cannot both be right, or a hard delete.
    Conflict {
        /// Which kind.
        kind: ConflictKind,
    },
}

/// Says what the facts of one key mean.
#[must_use]
pub fn classify(facts: &Facts) -> Class {
    let Pair { cloud, local } = facts.sides;
    match (cloud.is_present(), local.is_present()) {
        (false, false) if facts.known => Class::Gone,
        (false, false) => Class::InStep,
        _ if facts.known && cloud.is_same() && local.is_same() => Class::InStep,
        (true, true) if facts.equal => Class::Converged,
        (true, true) => differing(facts),
        (false, true) => one_missing(facts, Side::Cloud),
        (true, false) => one_missing(facts, Side::Local),
    }
}

/// Both sides hold a row and the rows differ.
fn differing(facts: &Facts) -> Class {
    let Pair { cloud, local } = facts.sides;
    if !facts.known {
        let kind = match (facts.first_sync, facts.key_generated) {
            (true, _) => ConflictKind::Initial,
            (false, true) => ConflictKind::KeyClash,
            (false, false) => ConflictKind::InsertInsert,
        };
        return Class::Conflict { kind };
    }
    if local.is_same() {
        return Class::Update { to: Side::Local };
    }
    if cloud.is_same() {
        return Class::Update { to: Side::Cloud };
    }
    let deleted = |presence| matches!(presence, Presence::Tombstone { .. });
    let kind = if deleted(cloud) == deleted(local) { ConflictKind::UpdateUpdate } else { ConflictKind::UpdateDelete };
    Class::Conflict { kind }
}

/// Only the side other than `missing` holds a row.
fn one_missing(facts: &Facts, missing: Side) -> Class {
    let held = *facts.sides.get(missing.other());
    let purged = facts.sides.get(missing).is_same();
    match (facts.known, held) {
        (false, Presence::Tombstone { .. }) => Class::LoneTombstone,
        (false, _) => Class::Insert { to: missing },
        (true, Presence::Tombstone { .. }) => Class::BothDeleted,
        (true, _) if purged => Class::Revived { to: missing },
        (true, Presence::Live { same: true }) => Class::Conflict { kind: ConflictKind::HardDelete },
        (true, _) => Class::Conflict { kind: ConflictKind::HardDeleteUpdate },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Presence = Presence::Live { same: false };
    const SAME: Presence = Presence::Live { same: true };
    const DEAD: Presence = Presence::Tombstone { same: false };
    const DEAD_SAME: Presence = Presence::Tombstone { same: true };
    const NONE: Presence = Presence::Absent { same: false };
    const NONE_SAME: Presence = Presence::Absent { same: true };

    fn facts(cloud: Presence, local: Presence, known: bool, equal: bool) -> Facts {
        Facts { sides: Pair::new(cloud, local), known, equal, first_sync: false, key_generated: false }
    }

    fn check(facts: Facts, expected: Class) {
        assert_eq!(classify(&facts), expected, "{facts:?}");
    }

    #[test]
    fn the_table_of_the_semantics() {
        let conflict = |kind| Class::Conflict { kind };
        // (cloud, local, known, equal) → class
        for (cloud, local, known, equal, expected) in [
            (SAME, SAME, true, true, Class::InStep),
            (SAME, SAME, true, false, Class::InStep), // a side that stores it differently, as the base knows
            (LIVE, SAME, true, false, Class::Update { to: Side::Local }),
            (SAME, LIVE, true, false, Class::Update { to: Side::Cloud }),
            (LIVE, LIVE, true, true, Class::Converged),
            (LIVE, LIVE, true, false, conflict(ConflictKind::UpdateUpdate)),
            (DEAD, LIVE, true, false, conflict(ConflictKind::UpdateDelete)),
            (LIVE, DEAD, true, false, conflict(ConflictKind::UpdateDelete)),
            (DEAD, DEAD, true, false, conflict(ConflictKind::UpdateUpdate)),
            (DEAD, SAME, true, false, Class::Update { to: Side::Local }),
            (LIVE, LIVE, false, true, Class::Converged),
            (LIVE, LIVE, false, false, conflict(ConflictKind::InsertInsert)),
            (LIVE, NONE, false, false, Class::Insert { to: Side::Local }),
            (NONE, LIVE, false, false, Class::Insert { to: Side::Cloud }),
            (DEAD, NONE, false, false, Class::LoneTombstone),
            (NONE, NONE, false, false, Class::InStep),
            (NONE, NONE, true, false, Class::Gone),
            (NONE, SAME, true, false, conflict(ConflictKind::HardDelete)),
            (NONE, LIVE, true, false, conflict(ConflictKind::HardDeleteUpdate)),
            (LIVE, NONE, true, false, conflict(ConflictKind::HardDeleteUpdate)),
            (NONE, DEAD, true, false, Class::BothDeleted),
            (NONE_SAME, DEAD_SAME, true, false, Class::InStep), // a clean-up purged an agreed tombstone
            (NONE_SAME, LIVE, true, false, Class::Revived { to: Side::Cloud }),
        ] {
            check(facts(cloud, local, known, equal), expected);
        }
    }

    #[test]
    fn rows_without_an_ancestor() {
        let unknown = facts(LIVE, LIVE, false, false);
        for (first_sync, key_generated, kind) in [
            (true, true, ConflictKind::Initial),
            (true, false, ConflictKind::Initial),
            (false, true, ConflictKind::KeyClash),
            (false, false, ConflictKind::InsertInsert),
        ] {
            check(Facts { first_sync, key_generated, ..unknown }, Class::Conflict { kind });
        }
    }

    #[test]
    fn swapped_sides_mirror_the_class() {
        let all = [LIVE, SAME, DEAD, DEAD_SAME, NONE, NONE_SAME];
        for cloud in all {
            for local in all {
                for flags in 0..16_u8 {
                    let flag = |bit: u8| flags & (1 << bit) != 0;
                    let given = Facts {
                        sides: Pair::new(cloud, local),
                        known: flag(0),
                        equal: flag(1),
                        first_sync: flag(2),
                        key_generated: flag(3),
                    };
                    let mirrored = match classify(&Facts { sides: given.sides.swap(), ..given }) {
                        Class::Insert { to } => Class::Insert { to: to.other() },
                        Class::Update { to } => Class::Update { to: to.other() },
                        Class::Revived { to } => Class::Revived { to: to.other() },
                        other => other,
                    };
                    check(given, mirrored);
                }
            }
        }
    }
}

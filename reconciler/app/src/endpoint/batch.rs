//! How a batch is settled where rows are written by statements: one transaction, in which every row finds out by itself whether it can
//! be written. Nothing here belongs to one engine; what an engine brings is a [`Writer`].
//!
//! Rows that one statement can write go together (`rows::groups`). Where the database refuses them, they are tried by halves, until the
//! culprits stand alone (`halves`). Rows refused for another row's sake, a parent or a free unique value that a later statement brings,
//! are tried again for as long as that gets anything written (`passes`). Updates that hand unique values to each other move out of
//! each other's way first (`exchange`), and rows that need each other in a ring are written as one (`ring`, of what `ties` finds).

mod exchange;
mod halves;
mod passes;
mod ring;
mod rows;
mod ties;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use self::{
    passes::{by_passes, outcomes, with_rings},
    rows::{Aside, Group, Guard, Item, Op, Settled, Table, UniqueColumn, Verdict, Verdicts, numbered, others, refused, suppressed},
    writer::{Fault, Tried, Writer, fatal},
};

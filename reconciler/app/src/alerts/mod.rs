//! Letters: alerts on their way to webhooks. What is told, and when, core's `agenda::alerts` decides; here it is delivered, and what cannot
//! be delivered now is tried again, until it is too old to matter.
//!
//! A [`Letter`] is a line of a durable outbox: whoever keeps that writes it together with what was told, [`post()`]s it when it is due, and
//! then does what [`Letter::fate`] says. A letter that was posted and not taken out, because its process died, is posted twice: its id is
//! the same.

mod letter;
mod post;

pub use self::{
    letter::{Fate, KEPT, Letter},
    post::{Delivery, Timeouts, post},
};

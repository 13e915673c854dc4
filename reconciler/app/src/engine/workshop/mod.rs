//! The workshop: what authors of custom strategies need, from an empty folder to a component that a spec can name.
//!
//! [`build()`] makes a component of sources, [`inspect()`] says what a file is. No database is asked here, and no state is kept but compiled
//! code in the cache.

mod build;
mod inspect;

pub use self::{
    build::{BuildOptions, BuildReport, Language, build},
    inspect::{FileKind, InspectReport, inspect},
};

use super::Result;

//! The workshop: what authors of custom strategies need, from an empty folder to a component that a spec can name.
//!
//! [`new()`] makes sources to begin with, [`build()`] makes a component of sources, [`inspect()`] says what a file is, [`test()`] holds one to cases, [`pin()`] ties a spec
//! to it. No database is asked here, and no state is kept but compiled
//! code in the cache.

mod build;
mod inspect;
mod new;
mod pin;
mod test;

pub use self::{
    build::{BuildOptions, BuildReport, Language, build},
    inspect::{FileKind, InspectReport, inspect},
    new::{NewReport, NewRequest, new},
    pin::{PinEntry, PinReport, PinRequest, pin},
    test::{CaseReport, CheckReport, SuiteReport, TestReport, TestRequest, test},
};

use super::Result;

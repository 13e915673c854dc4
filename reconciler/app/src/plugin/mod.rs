//! Plugins: strategies of other people's making, as WebAssembly components in a sandbox. The only room that knows the WASM engine.
//!
//! [`Host::load`] admits a component: it is one, it imports nothing, it exports the interface of `plugins/wit/strategy.wit` in a version
//! that is known, it compiles in time, and it can say what it is. [`Plugin::bind`] holds it to a table and a configuration, and
//! [`Bound::ask`] has it decide batches of conflicts. What it answers goes through [`berqenas_core::decision::settle`]; whatever fails, fails for the one
//! conflict that is to blame and no other.
//!
//! A batch runs in an instance of its own, within bounds on memory, instructions and time ([`Limits`]), without imports: nothing that it could
//! learn differs from one run to the next, so neither do its answers, nor the fuel it takes. Only the time limit is not like that,
//! and so a [`Failure::TimedOut`] decides nothing: the conflict is to be asked about again.

mod admission;
mod ask;
mod bindings;
mod cache;
mod convert;
mod encode;
mod engine;
mod error;
mod host;
mod limits;

pub use admission::{Outline, outline};
pub use ask::{Answers, BatchContext, Bound, Diagnostic, Stopped, Verdict};
pub use encode::component;
pub use error::{BindError, Failure, PluginError};
pub use host::{Columns, Description, Host, Plugin};
pub use limits::Limits;

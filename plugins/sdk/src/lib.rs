//! Conflict strategies for Berqenas Sync, as WebAssembly components.
//!
//! Two databases are kept in step, and both have edited one row: a *conflict*. A strategy decides it: this side's row is right, or that one's, or a row
//! made of both, or a person has to look. Implement [`Strategy`] for a type, hand the type to [`export_strategy!`], and build the crate as a `cdylib` for
//! `wasm32-unknown-unknown`.
//!
//! ```
//! use berqenas_strategy::{About, Conflict, Decision, Side, Strategy, Table, export_strategy};
//!
//! /// The longer note is right; where both are as long, a person decides.
//! struct LongerNote;
//!
//! /// What a spec may set under `config:`: nothing.
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {}
//!
//! impl Strategy for LongerNote {
//!     type Config = Config;
//!     const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false}"#;
//!
//!     fn about() -> About {
//!         About::new().named("note").symmetric()
//!     }
//!
//!     fn new(_config: Config, _table: &Table) -> Result<Self, String> {
//!         Ok(LongerNote)
//!     }
//!
//!     fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String> {
//!         let note = conflict.column("note")?;
//!         let (cloud, local): (Option<&str>, Option<&str>) = (note.cloud()?, note.local()?);
//!         Ok(match cloud.map(str::len).cmp(&local.map(str::len)) {
//!             std::cmp::Ordering::Greater => Decision::take(Side::Cloud),
//!             std::cmp::Ordering::Less => Decision::take(Side::Local),
//!             std::cmp::Ordering::Equal => Decision::manual("both notes are as long"),
//!         })
//!     }
//! }
//!
//! export_strategy!(LongerNote);
//!
//! # use berqenas_strategy::{Kind, testing::{Case, Trial, row}};
//! # let trial = Trial::<LongerNote>::new(&[("id", Kind::Integer), ("note", Kind::Text)], "{}").unwrap();
//! # let case = Case { cloud: row(r#"{"note": "ring twice"}"#), local: row(r#"{"note": "ring"}"#), ..Case::default() };
//! # assert_eq!(trial.decide(&case), "take cloud");
//! ```
//!
//! What to know:
//!
//! - **It is pure.** There is no file, network, clock or randomness in the sandbox, and each batch runs in a fresh instance: the same conflict always has the
//!   same answer. The only clock is [`Table::plan_time`].
//! - **An error is one person's work, never a failed batch.** What [`Strategy::resolve`] answers with `Err` waits for a person under that
//!   text. Every error of this crate turns into one by `?`.
//! - **The host checks.** A decision that the table cannot take (a key column, a text that is too long) goes to a person too.
//! - **See little.** Time goes into carrying values: name the columns you look at in [`About`], by [`About::named`] or by [`About::pointer`].
//! - **Test natively.** [`testing`] makes conflicts from JSON rows; `cargo test` needs no WebAssembly.

mod about;
#[doc(hidden)]
pub mod bindings;
mod conflict;
mod decision;
#[doc(hidden)]
pub mod export;
mod fault;
mod table;
pub mod testing;
#[cfg(test)]
mod tests;
mod value;

pub use about::About;
pub use bigdecimal::BigDecimal as Decimal;
pub use bindings::exports::berqenas::strategy::resolver::{Column, ConflictKind, Instant, Kind, Level, Operation, Scope, Side, Value};
pub use conflict::{Conflict, Field, Say};
pub use decision::{Decision, Merge};
pub use fault::Fault;
pub use table::{Locate, Place, Table};
pub use value::FromValue;

/// How conflicts of a table are decided.
///
/// For each batch of conflicts the host makes a fresh instance, [`Strategy::new`] is called once and [`Strategy::resolve`] once for each conflict. See the
/// [crate's documentation](crate) for an example.
pub trait Strategy: Sized {
    /// What a spec may set under `config:`.
    type Config: serde::de::DeserializeOwned;

    /// The JSON Schema (draft 2020-12) of [`Strategy::Config`], which the host holds specs against before anything runs. It is a text, since to derive it in
    /// the sandbox would double the component: [`testing::check_schema`] writes it to a file from the type, and holds the file to the type.
    const CONFIG_SCHEMA: &'static str;

    /// What the strategy is: which columns it looks at, and whether it needs the row that both sides last agreed on.
    fn about() -> About;

    /// The strategy under a configuration, for a table. Find columns here, once, rather than for each conflict: [`Table::find`].
    ///
    /// # Errors
    /// Why this configuration cannot serve this table; no conflict of it is decided then.
    fn new(config: Self::Config, table: &Table) -> Result<Self, String>;

    /// Decides a conflict. The answer may depend on nothing but the conflict, the table and the configuration.
    ///
    /// # Errors
    /// Why a person has to decide this conflict.
    fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String>;
}

/// Makes a crate a strategy: exports a type that implements [`Strategy`], under the name and version of the crate's `Cargo.toml`.
///
/// The crate is a `cdylib`, and holds this once. It does nothing in native builds, so that tests link.
#[macro_export]
macro_rules! export_strategy {
    ($strategy:ty) => {
        const _: () = {
            struct Exported;

            impl $crate::export::Guest for Exported {
                fn describe() -> $crate::export::Description {
                    $crate::export::describe::<$strategy>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
                }

                fn resolve(
                    context: $crate::export::Context,
                    batch: Vec<$crate::export::RawConflict>,
                ) -> Result<$crate::export::Answer, String> {
                    $crate::export::resolve::<$strategy>(context, &batch)
                }
            }

            #[cfg(target_family = "wasm")]
    $crate::bindings::export_component!(Exported with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: () = $crate::export::not_here::<Exported>();
        };
    };
}

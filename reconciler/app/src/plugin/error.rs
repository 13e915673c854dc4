//! What goes wrong with plugins: at admission, at the table, and at a conflict.

use std::time::Duration;

use berqenas_core::decision::BadDecision;

/// Why a component is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The file is too large.
    #[error("the plugin has {size} bytes and {limit} are allowed; make it smaller, or raise limits.component")]
    TooLarge {
        /// Its bytes.
        size: u64,
        /// Those allowed.
        limit: u64,
    },
    /// Not WebAssembly at all, or damaged.
    #[error("the plugin is not a WebAssembly component ({reason}); name the file that `berqenas plugin build` made")]
    NotAComponent {
        /// What is wrong.
        reason: String,
    },
    /// A core module.
    #[error(
        "the plugin is a core WebAssembly module, and a component is needed; `berqenas plugin build` makes one of it, as does `wasm-tools component new`"
    )]
    CoreModule,
    /// A core module of which no component can be made.
    #[error("no component can be made of the module ({reason}); build it with the SDK, or with wit-bindgen and plugins/wit/strategy.wit")]
    Encode {
        /// Why.
        reason: String,
    },
    /// It wants something of its host.
    #[error(
        "the plugin imports {}, and a strategy may import nothing: it has no files, no network, no clock and no randomness; build it for {WITHOUT_WASI}",
        .names.join(", ")
    )]
    Imports {
        /// What it imports.
        names: Vec<String>,
    },
    /// It exports something else.
    #[error("the plugin does not export {INTERFACE} but {}; build it for the world of plugins/wit/strategy.wit", some(.exports))]
    OtherWorld {
        /// What it exports.
        exports: Vec<String>,
    },
    /// Built for a version that is not known.
    #[error("the plugin was built for version {found} of {INTERFACE}, and this program knows {KNOWN}; {}", advice(.found))]
    OtherVersion {
        /// Its version.
        found: String,
    },
    /// The export has the name and not the form.
    #[error("the plugin's {INTERFACE} is not what its version says ({reason}); build it anew with plugins/wit/strategy.wit as it is")]
    OtherForm {
        /// What differs.
        reason: String,
    },
    /// The compiler refuses it.
    #[error("the plugin does not compile: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// It takes too long to compile.
    #[error("the plugin was not compiled within {} s; make it smaller, or raise limits.compile", .limit.as_secs_f32())]
    CompileTime {
        /// The limit.
        limit: Duration,
    },
    /// It cannot say what it is.
    #[error("the plugin cannot describe itself: {0}")]
    Describe(Failure),
    /// What it says of itself makes no sense.
    #[error("the plugin's description of itself is wrong: {reason}")]
    Description {
        /// What is wrong.
        reason: String,
    },
    /// The sandbox cannot be set up on this machine.
    #[error("the WebAssembly engine cannot be set up: {reason}")]
    Engine {
        /// Why.
        reason: String,
    },
}

/// The exported interface, without version.
pub(super) const INTERFACE: &str = "berqenas:strategy/resolver";
/// The versions that are known, for people.
pub(super) const KNOWN: &str = "1.0";
const WITHOUT_WASI: &str = "wasm32-unknown-unknown, or with WASI stubbed";

fn some(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn advice(found: &str) -> &'static str {
    match semver_major(found) {
        Some(0) => "build it anew with plugins/wit/strategy.wit",
        _ => "update this program, or build the plugin for an earlier version",
    }
}

fn semver_major(version: &str) -> Option<u64> {
    version.split('.').next()?.parse().ok()
}

/// Why a plugin cannot be used for a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The configuration is not what the plugin's schema says.
    #[error("the configuration of the plugin {plugin} is wrong: {}", .faults.join("; "))]
    Config {
        /// The plugin.
        plugin: String,
        /// All that is wrong.
        faults: Vec<String>,
    },
    /// The configuration names a column that is not there.
    #[error(
        "the configuration of the plugin {plugin} names the column {column} ({pointer}), and the table {table} has none of that name; it has {known}"
    )]
    Column {
        /// The plugin.
        plugin: String,
        /// The name.
        column: String,
        /// Where in the configuration.
        pointer: String,
        /// The table.
        table: String,
        /// The columns it has.
        known: String,
    },
}

/// Why a conflict has no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It trapped: a panic, an unreachable instruction, an access outside its memory, too deep a recursion.
    #[error("it trapped: {what}")]
    Trapped {
        /// What, and where.
        what: String,
    },
    /// It ran for too long, in instructions.
    #[error("it used up its fuel of {fuel} without an answer; raise limits.fuel, or let it do less")]
    OutOfFuel {
        /// What it was given.
        fuel: u64,
    },
    /// It wanted too much memory.
    #[error("it wanted {wanted} bytes of memory and {limit} are allowed; raise limits.memory, or let it use less")]
    OutOfMemory {
        /// What it wanted to have in all.
        wanted: u64,
        /// The limit.
        limit: u64,
    },
    /// It wanted too many table elements.
    #[error("it wanted {wanted} table elements and {limit} are allowed")]
    OutOfTable {
        /// What it wanted to have in all.
        wanted: u64,
        /// The limit.
        limit: u64,
    },
    /// It ran for too long, by the clock. This is not the conflict's fault alone, and decides nothing.
    #[error("it was not done within {} s, though it had fuel left: the machine is slow or busy; it will be asked again", .limit.as_secs_f32())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The machine has no thread for it.
    #[error("this machine has no thread to run it on: {reason}; it will be asked again")]
    NoThread {
        /// What the system says.
        reason: String,
    },
    /// The run was called off before it was asked.
    #[error("the run ended before it was asked")]
    Cancelled,
    /// Its answer is no answer: invalid text, too large, not within its memory.
    #[error("its answer cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// It cannot be called: its functions are not of the interface's form.
    #[error("its functions are not of the form that the interface has: {reason}")]
    Form {
        /// What differs.
        reason: String,
    },
    /// It gave too many or too few decisions.
    #[error("it gave {given} decisions for {asked} conflicts")]
    Count {
        /// Conflicts.
        asked: usize,
        /// Decisions.
        given: usize,
    },
    /// A decision that the table cannot take.
    #[error("its decision does not fit the table: {0}")]
    Decision(#[from] BadDecision),
    /// It says that it cannot decide.
    #[error("it cannot decide: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
}

impl Failure {
    /// Whether asking again may have another outcome: then it is no reason to decide anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Failure::TimedOut { .. } | Failure::NoThread { .. } | Failure::Cancelled)
    }
}

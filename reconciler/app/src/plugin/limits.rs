//! What a plugin may use.

use std::time::Duration;

/// The bounds of one plugin; a spec may set its own. What goes beyond them fails, for the conflict that causes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, all memories of an instance together.
    pub memory: u64,
    /// Fuel (about one a WASM instruction) for a batch, whatever its size: an interpreter has to get going first.
    pub fuel: u64,
    /// Fuel for each conflict of a batch, beside that.
    pub fuel_per_conflict: u64,
    /// How long a batch may run, whatever its size. A backstop: fuel should end first, since that is the same on any machine.
    pub timeout: Duration,
    /// How much longer for each conflict.
    pub timeout_per_conflict: Duration,
    /// Elements of tables, all tables of an instance together.
    pub table_elements: u64,
    /// Bytes of stack for WASM frames.
    pub stack: usize,
    /// Bytes of the component.
    pub component: u64,
    /// How long compiling it may take.
    pub compile: Duration,
}

impl Default for Limits {
    /// Measured with room to spare: an interpreted guest (JavaScript, Python) needs about 1 M fuel and 0.2 ms a conflict and is 12 to 18 MB large, one in Rust
    /// a hundredth of it.
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Limits {
            memory: 64 * MIB,
            fuel: 50_000_000,
            fuel_per_conflict: 5_000_000,
            timeout: Duration::from_secs(2),
            timeout_per_conflict: Duration::from_millis(5),
            table_elements: 20_000,
            stack: 1 << 20,
            component: 32 * MIB,
            compile: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// The fuel of a batch.
    #[must_use]
    pub fn fuel_for(&self, conflicts: usize) -> u64 {
        self.fuel.saturating_add(self.fuel_per_conflict.saturating_mul(conflicts as u64))
    }

    /// The time of a batch.
    #[must_use]
    pub fn timeout_for(&self, conflicts: usize) -> Duration {
        let each = self.timeout_per_conflict.saturating_mul(u32::try_from(conflicts).unwrap_or(u32::MAX));
        self.timeout.saturating_add(each)
    }
}

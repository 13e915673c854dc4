//! The sandbox: how the WASM engine is set up, and one call in it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use wasmtime::{
    Cache, Config, Engine, ResourceLimiter, Result, Store, Trap, UpdateDeadline, WasmBacktrace,
    component::{Component, InstancePre, Linker},
};

use super::{
    Limits,
    bindings::{Strategy, StrategyPre},
    convert,
    error::{Failure, PluginError},
};

/// How often a running plugin looks at the clock.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// How many memories, tables and instances a component may be made of.
const MOST_PARTS: usize = 64;
/// Bytes of stack that no plugin needs.
const MOST_STACK: usize = 256 << 20;

/// An engine whose every choice is the same on each run: what could differ is switched off, or not compiled in.
pub(super) fn engine(limits: &Limits, cache: Option<Cache>) -> Result<Engine, PluginError> {
    if limits.stack > MOST_STACK {
        return Err(PluginError::Engine { reason: format!("limits.stack may be {MOST_STACK} at most, and is {}", limits.stack) });
    }
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .concurrency_support(false)
        .max_wasm_stack(limits.stack)
        // Nothing is async; but the engine holds the one against the other.
        .async_stack_size(limits.stack)
        .cache(cache);
    Engine::new(&config).map_err(|fault| PluginError::Engine { reason: fault.to_string() })
}

/// Compiles a component, or loads it from the engine's cache, and holds it to the world.
pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> Result<StrategyPre<Guest>, PluginError> {
    let component =
        Component::from_binary(engine, wasm).map_err(|fault| PluginError::Invalid { reason: fault.root_cause().to_string() })?;
    // Nothing is ever put into it: what a component may import is in it, so it may import nothing.
    let linker = Linker::<Guest>::new(engine);
    let other = |fault: wasmtime::Error| PluginError::OtherForm { reason: fault.root_cause().to_string() };
    let instance: InstancePre<Guest> = linker.instantiate_pre(&component).map_err(other)?;
    StrategyPre::new(instance).map_err(other)
}

/// A flag that ends what runs. It is raised where nobody waits for the outcome any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What is counted of one instance.
pub(super) struct Guest {
    memory: u64,
    most_memory: u64,
    tables: u64,
    most_tables: u64,
    /// Which bound it ran into.
    over: Option<Failure>,
}

impl Guest {
    fn more(held: &mut u64, most: u64, current: usize, desired: usize) -> Result<(), u64> {
        let wanted = held.saturating_add((desired - current.min(desired)) as u64);
        if wanted > most {
            return Err(wanted);
        }
        *held = wanted;
        Ok(())
    }
}

/// Bounds hold for an instance's memories (tables) together. Growth beyond them ends the call, so that no guest can decide by how much memory there is.
impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.most_memory;
        Guest::more(&mut self.memory, limit, current, desired).map_err(|wanted| {
            self.over = Some(Failure::OutOfMemory { wanted, limit });
            wasmtime::Error::msg("out of memory")
        })?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        Err(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let limit = self.most_tables;
        Guest::more(&mut self.tables, limit, current, desired).map_err(|wanted| {
            self.over = Some(Failure::OutOfTable { wanted, limit });
            wasmtime::Error::msg("out of table elements")
        })?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        Err(error)
    }

    fn instances(&self) -> usize {
        MOST_PARTS
    }

    fn tables(&self) -> usize {
        MOST_PARTS
    }

    fn memories(&self) -> usize {
        MOST_PARTS
    }
}

/// What a call may use.
pub(super) struct Allowance {
    pub(super) fuel: u64,
    pub(super) time: Duration,
    /// Bytes that the host takes over from the guest.
    pub(super) answer: usize,
}

/// What a call came to.
pub(super) struct Called<T> {
    pub(super) outcome: Result<T, Failure>,
    pub(super) fuel: u64,
    pub(super) memory: u64,
}

/// Calls a fresh instance, which is gone afterwards.
pub(super) fn call<T>(
    strategy: &StrategyPre<Guest>,
    limits: &Limits,
    allowance: &Allowance,
    cancel: &Cancel,
    with: impl FnOnce(&Strategy, &mut Store<Guest>) -> Result<T>,
) -> Called<T> {
    let guest = Guest { memory: 0, most_memory: limits.memory, tables: 0, most_tables: limits.table_elements, over: None };
    let mut store = Store::new(strategy.engine(), guest);
    store.limiter(|guest| guest);
    store.set_hostcall_fuel(allowance.answer);
    store.set_epoch_deadline(1);
    let (begun, time, cancelled) = (Instant::now(), allowance.time, cancel.clone());
    store.epoch_deadline_callback(move |_| {
        let over = cancelled.is_raised() || begun.elapsed() >= time;
        Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
    });
    // The deadline counts from now: what was called off before is not to be waited for.
    let cancelled = if cancel.is_raised() { Err(Trap::Interrupt.into()) } else { Ok(()) };
    let mut entered = false;
    let outcome = cancelled.and_then(|()| store.set_fuel(allowance.fuel)).and_then(|()| {
        let instance = strategy.instantiate(&mut store)?;
        entered = true;
        with(&instance, &mut store)
    });
    let left = store.get_fuel().unwrap_or(0);
    let outcome = outcome.map_err(|fault| match failure(&fault, store.data_mut().over.take(), allowance, cancel) {
        // Types are compared when the functions are looked up, before any is called.
        Failure::Unreadable { reason } if !entered => Failure::Form { reason },
        other => other,
    });
    Called { outcome, fuel: allowance.fuel.saturating_sub(left), memory: store.data().memory }
}

fn failure(fault: &wasmtime::Error, over: Option<Failure>, allowance: &Allowance, cancel: &Cancel) -> Failure {
    if let Some(over) = over {
        return over;
    }
    match fault.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::OutOfFuel { fuel: allowance.fuel },
        Some(Trap::Interrupt) if cancel.is_raised() => Failure::Cancelled,
        Some(Trap::Interrupt) => Failure::TimedOut { limit: allowance.time },
        Some(trap) => Failure::Trapped { what: convert::short(&format!("{trap}{}", place(fault))) },
        None => Failure::Unreadable { reason: convert::short(&fault.root_cause().to_string()) },
    }
}

/// ` in some_function`, where the component names its functions.
fn place(fault: &wasmtime::Error) -> String {
    let frame = fault.downcast_ref::<WasmBacktrace>().and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    frame.map_or_else(String::new, |name| format!(" in {name}"))
}

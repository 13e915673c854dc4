//! The host: admits components, and keeps what they say of themselves.

use std::{path::Path, sync::Arc};

use berqenas_core::decision::{ConfigFault, ConfigSchema};
use tokio::sync::Semaphore;

use super::{
    Limits,
    admission::admit,
    bindings::{StrategyPre, wit},
    cache::CompileCache,
    convert,
    engine::{self, Allowance, Cancel, Guest, TICK},
    error::PluginError,
};

/// How many plugins are compiled at once. One that takes too long goes on, unobserved, and keeps its place until it is done: so there is an end to them.
const COMPILERS: usize = 2;
/// Bytes that a description may have.
const DESCRIPTION_BYTES: usize = 1 << 20;
const NAME_CHARS: usize = 64;
/// The stack that a plugin may have on a thread of the pool: such a thread has 2 MiB, and WASM runs on the stack of whoever calls it. A plugin with a
/// larger one has a thread of its own, with room for the host beside it.
const SHARED_STACK: usize = 1 << 20;
const HOST_STACK: usize = 1 << 20;

/// Which columns a plugin wants to see.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Columns {
    /// All columns.
    pub all: bool,
    /// Those that differ, or changed since both sides agreed.
    pub differing: bool,
    /// Those of these names.
    pub names: Vec<String>,
    /// Those that the configuration names at these JSON Pointers.
    pub pointers: Vec<String>,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// It merges against the row that both sides last agreed on.
    pub needs_base: bool,
    /// It treats both sides alike.
    pub symmetric: bool,
    /// Which columns it wants to see.
    pub columns: Columns,
}

/// Where plugins live. One for a program.
#[derive(Debug)]
pub struct Host {
    cache: Option<CompileCache>,
    compilers: Arc<Semaphore>,
}

/// A plugin that was admitted: one component under one set of limits. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) strategy: StrategyPre<Guest>,
    pub(super) limits: Limits,
    pub(super) schema: ConfigSchema,
    description: Description,
    digest: String,
    cached: bool,
}

impl Host {
    /// A host that keeps compiled plugins in a folder of its own. A folder that cannot be used is logged, and done without.
    #[must_use]
    pub fn new(cache: Option<&Path>) -> Host {
        let open = |folder: &Path| {
            let opened = CompileCache::open(folder);
            opened.inspect_err(|fault| tracing::warn!(folder = %folder.display(), %fault, "plugins are compiled at every start")).ok()
        };
        Host { cache: cache.and_then(open), compilers: Arc::new(Semaphore::new(COMPILERS)) }
    }

    /// Admits a component: looks at its imports and exports, compiles it (or takes it from the cache), and asks it what it is.
    ///
    /// # Errors
    /// If it is not a strategy that this program can run.
    pub async fn load(&self, wasm: Vec<u8>, limits: Limits) -> Result<Plugin, PluginError> {
        let limit = limits.compile;
        let late = |_| PluginError::CompileTime { limit };
        let (cache, compilers) = (self.cache.clone(), Arc::clone(&self.compilers));
        let compiling = async move {
            let place = compilers.acquire_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                let _place = place;
                compiled(&wasm, limits, cache.as_ref())
            });
            // The compiler is not to panic, and if it does, on whatever bytes, that is the plugin's end and nothing else's.
            work.await.unwrap_or_else(|fault| Err(PluginError::Invalid { reason: convert::short(&fault.to_string()) }))
        };
        let compiled = tokio::time::timeout(limit, compiling).await.map_err(late)??;
        compiled.described().await
    }
}

/// A component that has not said yet what it is.
struct Compiled {
    strategy: StrategyPre<Guest>,
    limits: Limits,
    digest: String,
    cached: bool,
}

fn compiled(wasm: &[u8], limits: Limits, cache: Option<&CompileCache>) -> Result<Compiled, PluginError> {
    admit(wasm, &limits)?;
    let digest = blake3::hash(wasm).to_hex().to_string();
    let entry = cache.and_then(|cache| cache.entry(&digest).inspect_err(log).ok());
    let engine = engine::engine(&limits, entry.as_ref().map(|entry| entry.cache.clone()))?;
    let strategy = engine::compile(&engine, wasm)?;
    if let (Some(cache), Some(entry)) = (cache, &entry) {
        let kept = entry.seal().and_then(|()| if entry.hit() { Ok(()) } else { cache.shrink() });
        let _ = kept.inspect_err(log);
    }
    Ok(Compiled { strategy, limits, digest, cached: entry.is_some_and(|entry| entry.hit()) })
}

fn log(fault: &std::io::Error) {
    tracing::warn!(%fault, "the cache of compiled plugins does not work");
}

impl Compiled {
    async fn described(self) -> Result<Plugin, PluginError> {
        let Compiled { strategy, limits, digest, cached } = self;
        let allowance = Allowance { fuel: limits.fuel_for(1), time: limits.timeout_for(1), answer: DESCRIPTION_BYTES };
        let asked = (strategy.clone(), limits.clone());
        let called = run(strategy.engine().clone(), limits.stack, move |cancel| {
            let (strategy, limits) = asked;
            engine::call(&strategy, &limits, &allowance, cancel, |strategy, store| {
                strategy.berqenas_strategy_resolver().call_describe(store)
            })
        });
        let said = called.await.and_then(|called| called.outcome).map_err(|failure| match failure {
            super::Failure::Form { reason } => PluginError::OtherForm { reason },
            other => PluginError::Describe(other),
        })?;
        let (description, schema) = read(said)?;
        Ok(Plugin { inner: Arc::new(Inner { strategy, limits, schema, description, digest, cached }) })
    }
}

/// Runs a plugin beside the async threads, with a clock that it looks at. Dropped, it ends the plugin.
pub(super) async fn run<T: Send + 'static>(
    engine: wasmtime::Engine,
    stack: usize,
    work: impl FnOnce(&Cancel) -> T + Send + 'static,
) -> Result<T, super::Failure> {
    struct Waiting(Cancel, wasmtime::Engine);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.raise();
            self.1.increment_epoch();
        }
    }
    let cancel = Cancel::default();
    let waiting = Waiting(cancel.clone(), engine);
    let (tell, mut told) = tokio::sync::oneshot::channel();
    // Nobody listens where nobody waits any more.
    let job = move || drop(tell.send(work(&cancel)));
    if stack <= SHARED_STACK {
        drop(tokio::task::spawn_blocking(job));
    } else {
        let thread = std::thread::Builder::new().name("plugin".to_owned()).stack_size(stack.saturating_add(HOST_STACK));
        thread.spawn(job).map_err(|fault| super::Failure::NoThread { reason: fault.to_string() })?;
    }
    loop {
        match tokio::time::timeout(TICK, &mut told).await {
            Ok(Ok(done)) => return Ok(done),
            // It went away without an answer: it panicked, and that was told where panics are.
            Ok(Err(_)) => return Err(super::Failure::Trapped { what: "the host of the plugin panicked".to_owned() }),
            Err(_) => waiting.1.increment_epoch(),
        }
    }
}

/// What it said of itself, if that makes sense.
fn read(said: wit::Description) -> Result<(Description, ConfigSchema), PluginError> {
    let wrong = |reason: String| PluginError::Description { reason };
    for (what, text) in [("name", &said.name), ("version", &said.version)] {
        if text.is_empty() || text.chars().count() > NAME_CHARS || text.chars().any(char::is_control) {
            return Err(wrong(format!("its {what} is to have 1 to {NAME_CHARS} characters that can be printed")));
        }
    }
    if let Some(pointer) = said.columns.pointers.iter().find(|pointer| !pointer.starts_with('/')) {
        return Err(wrong(format!("{} is no JSON Pointer (/like/this)", convert::short(pointer))));
    }
    if let Some(name) = said.columns.names.iter().chain(&said.columns.pointers).find(|name| name.contains(char::is_control)) {
        return Err(wrong(format!("it asks for a column by a name that cannot be printed: {}", convert::short(name))));
    }
    let config_schema: serde_json::Value =
        serde_json::from_str(&said.config_schema).map_err(|fault| wrong(format!("its configuration schema is not JSON: {fault}")))?;
    let no_schema = |fault: String| wrong(format!("its configuration schema is no JSON Schema that is taken: {}", convert::short(&fault)));
    let schema = ConfigSchema::new(&config_schema).map_err(no_schema)?;
    let columns = Columns {
        all: said.columns.scope == wit::Scope::All,
        differing: said.columns.scope == wit::Scope::Differing,
        names: said.columns.names,
        pointers: said.columns.pointers,
    };
    let wit::Description { name, version, needs_base, symmetric, .. } = said;
    Ok((Description { name, version, config_schema, needs_base, symmetric, columns }, schema))
}

impl Plugin {
    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// The BLAKE3 digest of its bytes, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Whether it came from the cache, compiled.
    #[must_use]
    pub fn was_cached(&self) -> bool {
        self.inner.cached
    }

    /// `priority 1.2.0 (blake3 9f2c01ab)`: what decisions are recorded under.
    #[must_use]
    pub fn label(&self) -> String {
        const DIGITS: usize = 8;
        let Description { name, version, .. } = self.description();
        format!("{name} {version} (blake3 {})", &self.inner.digest[..DIGITS])
    }

    /// All that is wrong with a configuration.
    #[must_use]
    pub fn config_faults(&self, config: &serde_json::Value) -> Vec<ConfigFault> {
        self.inner.schema.faults(config)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Plugin").field(&self.label()).finish()
    }
}

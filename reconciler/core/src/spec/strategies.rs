//! Strategies in a spec: which one a table names, and the spec's own.

use std::{collections::BTreeMap, time::Duration};

use bytesize::ByteSize;

use super::{
    MERGE_FIELDS, PluginLimits, PluginSpec, StrategyChoice, StrategyName,
    check::brief,
    fault::did_you_mean,
    file::{LimitsEntry, PluginEntry, StrategyEntry, StrategyFields, StrategyRef, StrategyWord},
    resolve::Resolver,
    yaml::escape,
};

const WHOLE: [StrategyName; 4] = [StrategyName::LatestWins, StrategyName::CloudWins, StrategyName::LocalWins, StrategyName::Manual];

/// The names of the strategies that are built in.
fn built_in() -> impl Iterator<Item = &'static str> {
    WHOLE.into_iter().map(StrategyName::as_str).chain([MERGE_FIELDS])
}

impl Resolver<'_> {
    /// The strategy that is named at `pointer`, if any is.
    pub(super) fn strategy(&mut self, pointer: &str, entry: Option<StrategyEntry>) -> Option<StrategyChoice> {
        let (fields, place) = match entry? {
            StrategyEntry::Short(name) => (StrategyFields { name, otherwise: None }, format!("{pointer}/strategy")),
            StrategyEntry::Long(fields) => (fields, format!("{pointer}/strategy/name")),
        };
        let otherwise = fields.otherwise;
        let choice: StrategyChoice = match fields.name {
            StrategyRef::BuiltIn(StrategyWord::MergeFields) => {
                return Some(StrategyChoice::MergeFields { otherwise: otherwise.unwrap_or(StrategyName::Manual) });
            }
            StrategyRef::BuiltIn(StrategyWord::LatestWins) => StrategyName::LatestWins.into(),
            StrategyRef::BuiltIn(StrategyWord::CloudWins) => StrategyName::CloudWins.into(),
            StrategyRef::BuiltIn(StrategyWord::LocalWins) => StrategyName::LocalWins.into(),
            StrategyRef::BuiltIn(StrategyWord::Manual) => StrategyName::Manual.into(),
            StrategyRef::Named(name) => {
                if !self.own.contains(&name) {
                    let own = self.own.iter().filter(|own| !built_in().any(|known| known == own.as_str()));
                    let known: Vec<String> = built_in().map(str::to_owned).chain(own.cloned()).collect();
                    let hint = did_you_mean(&name, known.iter().map(String::as_str));
                    let hint = hint.unwrap_or_else(|| "a strategy of your own is named under \"strategies\"".to_owned());
                    let message = format!("\"strategy\" must be one of {}, but is {:?}", known.join(", "), brief(&name));
                    self.fault(&place, message, Some(&hint));
                }
                StrategyChoice::Plugin(name)
            }
        };
        if otherwise.is_some() {
            let message = match &choice {
                StrategyChoice::Plugin(name) => format!("{name} decides by itself: \"otherwise\" means nothing to it"),
                whole => format!("{} decides whole rows: \"otherwise\" means nothing to it", whole.as_str()),
            };
            self.fault(&format!("{pointer}/strategy/otherwise"), message, Some("take it out, or choose merge_fields"));
        }
        Some(choice)
    }

    /// The spec's own strategies.
    pub(super) fn plugins(&mut self, entries: BTreeMap<String, PluginEntry>) -> BTreeMap<String, PluginSpec> {
        let plugin = |(name, entry): (String, PluginEntry)| {
            let pointer = format!("/strategies/{}", escape(&name));
            self.plugin_name(&pointer, &name);
            let plugin = self.plugin(&pointer, entry);
            (name, plugin)
        };
        entries.into_iter().map(plugin).collect()
    }

    fn plugin_name(&mut self, pointer: &str, name: &str) {
        const LONGEST: usize = 64;
        if built_in().any(|known| known == name) {
            self.fault(pointer, format!("{name} is the name of a strategy that is built in"), Some("give yours another name"));
        } else if name.is_empty() || name.len() > LONGEST || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        {
            let message = format!("{:?} is no name for a strategy", brief(name));
            self.fault(pointer, message, Some("letters, digits, _ and -, at most 64"));
        }
    }

    fn plugin(&mut self, pointer: &str, entry: PluginEntry) -> PluginSpec {
        let blake3 = entry.blake3.unwrap_or_else(|| {
            let hint = "`berqenas plugin pin` with this file writes the digest of the component that is there now";
            self.fault(pointer, "the strategy is not pinned: \"blake3\" is missing", Some(hint));
            String::new()
        });
        let limits = self.limits(&format!("{pointer}/limits"), &entry.limits);
        PluginSpec { wasm: entry.wasm, blake3, config: entry.config.into(), limits, on_error: entry.on_error.unwrap_or_default() }
    }

    fn limits(&mut self, pointer: &str, entry: &LimitsEntry) -> PluginLimits {
        const ADDRESSABLE: u64 = 4 << 30;
        let mut duration = |key: &str, text: &Option<String>| {
            let least = Duration::from_millis(1);
            text.as_deref().map(|text| self.duration(&format!("{pointer}/{key}"), Some(text), least, least))
        };
        let timeout = duration("timeout", &entry.timeout);
        let timeout_per_conflict = duration("timeout_per_conflict", &entry.timeout_per_conflict);
        let compile = duration("compile", &entry.compile);
        PluginLimits {
            memory: self.bytes(&format!("{pointer}/memory"), entry.memory.as_deref(), ADDRESSABLE),
            fuel: entry.fuel,
            fuel_per_conflict: entry.fuel_per_conflict,
            timeout,
            timeout_per_conflict,
            component: self.bytes(&format!("{pointer}/component"), entry.component.as_deref(), ADDRESSABLE),
            compile,
        }
    }

    /// A size such as `64MiB`.
    fn bytes(&mut self, pointer: &str, text: Option<&str>, most: u64) -> Option<u64> {
        let text = text?;
        let key = pointer.rsplit('/').next().unwrap_or(pointer);
        match text.parse::<ByteSize>() {
            Ok(size) if (1..=most).contains(&size.as_u64()) => return Some(size.as_u64()),
            Ok(_) => self.fault(pointer, format!("{key:?} must be at least 1 byte and at most {}", ByteSize(most).display().iec()), None),
            Err(_) => {
                let message = format!("{key:?} is no size: {:?}", brief(text));
                self.fault(pointer, message, Some("a number and its unit (KiB, MiB, GiB), for example 64MiB"));
            }
        }
        None
    }
}

//! Meaning: when a sync runs.

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    Schedule,
    check::brief,
    fault::did_you_mean,
    file::{FullSyncEntry, FullSyncFields, RetryEntry, SpecFile, WindowEntry},
    resolve::Resolver,
};
use crate::agenda::{Retry, Terms, Window};

const SECOND: Duration = Duration::from_secs(1);

impl Resolver<'_> {
    /// The schedule, and what else is said of when it runs.
    pub(super) fn agenda(&mut self, file: &SpecFile) -> (Option<Schedule>, Terms) {
        let schedule = self.schedule(file);
        let full_sync = file.full_sync.as_ref().and_then(|entry| self.full_sync(entry, file.timezone.as_deref()));
        let terms = Terms {
            jitter: self.jitter(file, schedule.as_ref()),
            full_sync,
            retry: file.retry.as_ref().map(|entry| self.retry(entry)),
            run_timeout: self.given("/run_timeout", file.run_timeout.as_deref(), SECOND),
            windows: self.windows(&file.windows, file.timezone.as_deref()),
            depends_on: self.depends_on(&file.name, &file.depends_on),
            suspend: file.suspend.unwrap_or(false),
        };
        (schedule, terms)
    }

    fn schedule(&mut self, file: &SpecFile) -> Option<Schedule> {
        let (interval, cron) = (file.interval.as_deref(), file.cron.as_deref());
        if interval.is_some() && cron.is_some() {
            self.fault("/cron", "\"cron\" and \"interval\" exclude each other", Some("keep one of the two"));
        }
        let full_by_cron = matches!(&file.full_sync, Some(FullSyncEntry::Long(FullSyncFields { cron: Some(_), .. })));
        if file.timezone.is_some() && cron.is_none() && !full_by_cron && file.windows.is_empty() {
            self.fault("/timezone", "\"timezone\" means nothing without \"cron\"", Some("take it out, or add cron"));
        }
        if let Some(name) = &file.timezone {
            self.timezone("/timezone", name);
        }
        let every = self.given("/interval", interval, SECOND);
        if let Some(expression) = cron {
            self.cron("/cron", expression);
            return Some(Schedule::Cron { expression: expression.to_owned(), timezone: zone(None, file.timezone.as_deref()) });
        }
        // What is no duration has its fault: the schedule is one by interval all the same.
        interval.map(|_| Schedule::Interval(every.unwrap_or_default()))
    }

    /// A duration, if it is given.
    fn given(&mut self, pointer: &str, text: Option<&str>, least: Duration) -> Option<Duration> {
        text.map(|text| self.duration(pointer, Some(text), least, least))
    }

    fn full_sync(&mut self, entry: &FullSyncEntry, timezone: Option<&str>) -> Option<Schedule> {
        let fields = match entry {
            FullSyncEntry::Short(every) => return self.given("/full_sync", Some(every), SECOND).map(Schedule::Interval),
            FullSyncEntry::Long(fields) => fields,
        };
        if let Some(name) = &fields.timezone {
            self.timezone("/full_sync/timezone", name);
        }
        match (&fields.interval, &fields.cron) {
            (Some(every), None) => {
                if fields.timezone.is_some() {
                    self.fault("/full_sync/timezone", "\"timezone\" means nothing without \"cron\"", Some("take it out, or add cron"));
                }
                self.given("/full_sync/interval", Some(every), SECOND).map(Schedule::Interval)
            }
            (None, Some(expression)) => {
                self.cron("/full_sync/cron", expression);
                Some(Schedule::Cron { expression: expression.clone(), timezone: zone(fields.timezone.as_deref(), timezone) })
            }
            (None, None) | (Some(_), Some(_)) => {
                self.fault(
                    "/full_sync",
                    "\"full_sync\" must have exactly one of interval and cron",
                    Some("for example {cron: 0 3 * * SUN}"),
                );
                None
            }
        }
    }

    fn jitter(&mut self, file: &SpecFile, schedule: Option<&Schedule>) -> Option<Duration> {
        let jitter = self.given("/jitter", file.jitter.as_deref(), Duration::ZERO)?;
        match schedule {
            None if file.full_sync.is_none() => {
                self.fault(
                    "/jitter",
                    "\"jitter\" means nothing to a sync that runs on demand only",
                    Some("take it out, or add interval or cron"),
                );
            }
            Some(Schedule::Interval(every)) if jitter > *every / 2 && !every.is_zero() => {
                self.fault("/jitter", "\"jitter\" must be at most half of the interval", None);
            }
            Some(_) | None => {}
        }
        Some(jitter)
    }

    fn retry(&mut self, entry: &RetryEntry) -> Retry {
        let default = Retry::default();
        let base = self.given("/retry/base", entry.base.as_deref(), SECOND).unwrap_or(default.base);
        let max = self.given("/retry/max", entry.max.as_deref(), SECOND).unwrap_or(default.max.max(base));
        if max < base {
            self.fault("/retry/max", "\"max\" must be at least as long as \"base\"", None);
        }
        Retry { base, factor: entry.factor.unwrap_or(default.factor), max }
    }

    fn windows(&mut self, entries: &[WindowEntry], timezone: Option<&str>) -> Vec<Window> {
        let mut windows = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let pointer = format!("/windows/{index}");
            self.cron(&format!("{pointer}/cron"), &entry.cron);
            if let Some(name) = &entry.timezone {
                self.timezone(&format!("{pointer}/timezone"), name);
            }
            windows.push(Window {
                kind: entry.kind,
                cron: entry.cron.clone(),
                duration: self.duration(&format!("{pointer}/duration"), Some(&entry.duration), SECOND, SECOND),
                timezone: zone(entry.timezone.as_deref(), timezone),
            });
        }
        windows
    }

    fn depends_on(&mut self, sync: &str, names: &[String]) -> Vec<String> {
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/depends_on/{index}");
            if name == sync {
                self.fault(&pointer, "a sync cannot depend on itself", Some("take it out"));
            } else if names[..index].contains(name) {
                self.fault(&pointer, format!("{:?} is there twice", brief(name)), None);
            }
        }
        names.to_vec()
    }

    fn timezone(&mut self, pointer: &str, name: &str) {
        let zones = jiff::tz::db();
        if zones.get(name).is_ok() {
            return;
        }
        if zones.is_definitively_empty() {
            self.fault(pointer, "no time zones are known on this machine", Some("install the system's time zone data (tzdata)"));
            return;
        }
        let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
        let hint = did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| "for example Europe/Istanbul".to_owned());
        self.fault(pointer, format!("there is no time zone {:?}", brief(name)), Some(&hint));
    }

    fn cron(&mut self, pointer: &str, expression: &str) {
        let hint = "five fields: minute, hour, day of month, month, day of week; for example 0 2 * * *";
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        match parser.parse(expression) {
            Err(error) => {
                self.fault(pointer, format!("this is no cron expression: {}", error.to_string().trim_end_matches('.')), Some(hint))
            }
            // Any start will do: what never comes after it never comes.
            Ok(cron) => {
                if cron.find_next_occurrence(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), false).is_err() {
                    self.fault(pointer, "this time never comes", Some("that day is not in that month"));
                }
            }
        }
    }
}

/// The zone of a cron expression: its own, or the sync's, or UTC.
fn zone(own: Option<&str>, of_sync: Option<&str>) -> String {
    own.or(of_sync).unwrap_or("UTC").to_owned()
}

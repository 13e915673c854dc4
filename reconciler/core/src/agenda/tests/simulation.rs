//! Weeks on a simulated clock: databases go away, the process is killed, specs change, people ask, suspend and resume. Whatever happens,
//! the rules hold. A failing seed is printed, and kept under `proptest-regressions`, where the next run of the tests replays it first.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::{duration, fault, schedule};
use crate::{
    agenda::{
        Agenda, Dependency, Facts, Hold, Next, Outcome, Pass, Request, Suspension, Terms, Window, WindowKind, schedule::Ticks,
        windows::Windows,
    },
    cases::random::Dice,
    spec::Schedule,
};

/// What there is to a seed: a spec, and how its world goes wrong.
struct World {
    dice: Dice,
    schedule: Schedule,
    terms: Terms,
    now: Timestamp,
    /// Until when runs fail.
    outage: Timestamp,
    /// When the run that goes on would end.
    run_ends: Option<Timestamp>,
    facts: Facts,
    /// When the runs began, and whether they were full and did well.
    runs: Vec<(Timestamp, Pass, bool)>,
    /// Whether nothing bad happens any more.
    calm: bool,
    /// Whether what bad things did before is over.
    quiet: bool,
    /// What was ever to be done.
    reached: BTreeSet<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed, 0);
        let schedules = ["15m", "1h", "7m", "0 2 * * * Europe/Berlin", "30 2 * * * America/New_York", "*/20 * * * * Australia/Lord_Howe"];
        let fulls = ["24h", "30 1 * * * Europe/Berlin", "0 3 * * SUN Europe/Istanbul"];
        // Weeks with a change of the clocks in each of the zones.
        let starts = ["2026-03-01T00:00Z", "2026-03-20T00:00Z", "2026-10-15T00:00Z", "2026-09-25T00:00Z", "2026-06-01T00:00Z"];
        let terms = Terms {
            jitter: [None, Some(duration("0s")), Some(duration("2m"))][dice.below(3)],
            full_sync: (dice.below(2) == 0).then(|| schedule(fulls[dice.below(fulls.len())])),
            windows: [vec![], vec![window(WindowKind::Allow, "0 1 * * *", "8h")], vec![window(WindowKind::Deny, "30 2 * * *", "90m")]]
                [dice.below(3)]
            .clone(),
            run_timeout: Some(duration("30m")),
            ..Terms::default()
        };
        let now: Timestamp = starts[dice.below(starts.len())].parse().unwrap();
        World {
            schedule: schedule(schedules[dice.below(schedules.len())]),
            terms,
            now,
            outage: now,
            run_ends: None,
            facts: Facts::new("0", now),
            runs: Vec::new(),
            calm: false,
            quiet: false,
            reached: BTreeSet::new(),
            dice,
        }
    }

    fn agenda(&self) -> Agenda {
        Agenda::new("shop", Some(&self.schedule), &self.terms).unwrap()
    }

    /// Whoever reads the facts of a process that is gone decides as it would have done.
    fn restart(&mut self) {
        let before = self.agenda().next(&self.facts, self.now);
        let kept = serde_json::to_string(&self.facts).unwrap();
        self.facts = serde_json::from_str(&kept).unwrap();
        assert_eq!(self.agenda().next(&self.facts, self.now), before);
    }

    /// The process is killed: nobody writes how its run ended.
    fn kill(&mut self) {
        if let Some(cut_off) = self.facts.running.take() {
            self.facts.last = Some(cut_off);
            self.run_ends = None;
        }
        self.restart();
    }

    fn mishap(&mut self) {
        match self.dice.below(9) {
            0 => self.kill(),
            1 => self.restart(),
            2 => self.outage = self.now + SignedDuration::from_mins(self.dice.below(400) as i64),
            3 => self.facts.generation = self.dice.below(5).to_string(),
            4 => {
                let pass = if self.dice.below(3) == 0 { Pass::Full } else { Pass::Normal };
                self.facts.request = Some(Request { token: self.dice.below(5).to_string(), pass });
            }
            5 => {
                let until = (self.dice.below(2) == 0).then(|| self.now + SignedDuration::from_mins(self.dice.below(600) as i64));
                self.facts.suspended = Some(Suspension { by: "ada".into(), since: self.now, until, why: None });
            }
            6 => self.facts.suspended = None,
            7 => self.terms.suspend = self.dice.below(4) == 0,
            _ => {
                let ready = (self.dice.below(2) == 0).then(|| "two".to_owned());
                self.facts.dependencies = vec![Dependency { name: "stock".into(), generation: Some("two".into()), ready }];
            }
        }
    }

    /// Nothing bad happens any more, and what stands in the way goes.
    fn calm_down(&mut self) {
        self.calm = true;
        (self.outage, self.terms.suspend) = (self.now, false);
        self.facts.suspended = None;
        self.facts.dependencies.clear();
        if matches!(self.facts.last.as_ref().and_then(|last| last.end.as_ref()), Some((_, Outcome::Stuck(_)))) {
            self.facts.generation = "mended".into();
        }
    }

    fn begin(&mut self, pass: Pass) {
        assert!(self.facts.running.is_none(), "two runs at once at {}", self.now);
        assert!(Windows::new(&self.terms.windows).unwrap().open(self.now), "a run in a closed window at {}", self.now);
        assert!(!self.terms.suspend && self.facts.suspension(self.now).is_none(), "a run while suspended at {}", self.now);
        assert!(self.facts.dependencies.iter().all(Dependency::is_met), "a run before what it depends on at {}", self.now);
        let attempt = self.facts.begin(pass, self.now);
        self.runs.push((self.now, pass, false));
        self.facts.running = Some(attempt);
        // Some never end.
        let lasts = if !self.calm && self.dice.below(40) == 0 { 100_000 } else { 1 + self.dice.below(240) };
        self.run_ends = Some(self.now + SignedDuration::from_secs(lasts as i64));
    }

    fn end(&mut self, cancelled: bool) {
        let Some(running) = self.facts.running.take() else { return };
        let outcome = match self.dice.below(30) {
            _ if cancelled || self.now < self.outage => Outcome::Failed(fault()),
            0 if !self.calm => Outcome::Stuck(fault()),
            1 if !self.calm => Outcome::Blocked(fault()),
            _ => Outcome::Done,
        };
        if matches!(outcome, Outcome::Done | Outcome::Blocked(_)) && running.pass == Pass::Full {
            self.facts.last_full = Some(running.started);
        }
        self.runs.last_mut().unwrap().2 = outcome == Outcome::Done;
        self.facts.last = Some(running.ended(self.now, outcome));
        self.run_ends = None;
    }

    /// Does what is to be done now, and goes on to when there may be more, or to a time of its own.
    fn step(&mut self, until: Timestamp) {
        if self.run_ends.is_some_and(|ends| ends <= self.now) {
            self.end(false);
        }
        let agenda = self.agenda();
        let next = agenda.next(&self.facts, self.now);
        if self.quiet {
            let overdue = agenda.overdue_at(&self.facts, self.now).unwrap();
            assert!(overdue > self.now || matches!(next, Next::Run(..)), "overdue at {} since {overdue}", self.now);
        }
        self.reached.insert(match &next {
            Next::Run(pass, why) => format!("run {pass:?} {why:?}"),
            Next::At(_, why) => format!("at {why:?}"),
            Next::Held { by: Hold::Suspended { by_spec, by_person }, .. } => format!("suspended {by_spec} {}", by_person.is_some()),
            Next::Held { by, .. } => format!("held {by:?}"),
            Next::Cancel { .. } => "cancel".into(),
            Next::Idle => "idle".into(),
        });
        let wake = match next {
            Next::Run(pass, _) => {
                self.begin(pass);
                self.run_ends
            }
            Next::Cancel { .. } => {
                self.end(true);
                Some(self.now)
            }
            Next::At(time, _) => {
                assert!(time > self.now, "told at {} to look again at {time}", self.now);
                self.nothing_is_missed();
                Some(time)
            }
            Next::Held { look_again, .. } => {
                assert!(look_again.is_none_or(|time| time > self.now), "held at {} until {look_again:?}", self.now);
                look_again.into_iter().chain(self.run_ends).min()
            }
            Next::Idle => panic!("a sync with a schedule has nothing to do"),
        };
        let mishap = (!self.calm).then(|| self.now + SignedDuration::from_mins(1 + self.dice.below(900) as i64));
        let wake = wake.into_iter().chain(mishap).min().unwrap_or(until);
        if Some(wake) == mishap {
            self.now = wake;
            self.mishap();
        }
        self.now = wake.min(until);
    }

    /// Where nothing is to be done yet after a run that did well, no tick that is over its jitter lies behind.
    fn nothing_is_missed(&self) {
        let Some(last) = self.facts.last.as_ref().filter(|last| last.failures() == 0) else { return };
        let jitter = SignedDuration::try_from(self.terms.jitter.unwrap_or_default()).unwrap();
        let from = |ticks: &Ticks, from: Timestamp| ticks.after(from).is_none_or(|tick| tick + jitter > self.now);
        assert!(from(&Ticks::new(&self.schedule).unwrap(), last.started), "a tick was lost by {}", self.now);
        if let Some(full) = &self.terms.full_sync {
            let last = self.facts.last_full.unwrap_or(self.facts.since);
            assert!(from(&Ticks::new(full).unwrap(), last), "a full tick was lost by {}", self.now);
        }
    }

    fn run_until(&mut self, until: Timestamp) {
        for _ in 0..100_000 {
            if self.now >= until {
                return;
            }
            self.step(until);
        }
        panic!("time does not go on at {}", self.now);
    }
}

fn window(kind: WindowKind, cron: &str, lasts: &str) -> Window {
    Window { kind, cron: cron.into(), duration: duration(lasts), timezone: "Europe/Berlin".into() }
}

fn simulate(seed: u64) -> BTreeSet<String> {
    let mut world = World::new(seed);
    let days = |count: i64| SignedDuration::from_hours(24 * count);
    world.run_until(world.now + days(21));
    world.calm_down();
    // Whatever it was, a day later (windows open daily) all is as if it had never been.
    world.run_until(world.now + days(2));
    let calm = world.now;
    world.quiet = true;
    world.run_until(world.now + days(7));
    let runs: Vec<_> = world.runs.iter().filter(|(started, ..)| *started >= calm).collect();
    // The last may be going on.
    let undone = runs.iter().filter(|(_, _, done)| !done).count();
    assert!(!runs.is_empty() && undone <= usize::from(world.facts.running.is_some()), "{undone} runs failed while all was well");
    let windows = Windows::new(&world.terms.windows).unwrap();
    let ticks = Ticks::new(&world.schedule).unwrap();
    let jitter = SignedDuration::try_from(world.terms.jitter.unwrap_or_default()).unwrap();
    for pair in runs.windows(2) {
        // From one run to the next no longer than to the next tick, or to when the window opens, or to the end of the run before.
        let due = ticks.after(pair[0].0).unwrap() + jitter;
        let open = windows.open_from(due).unwrap();
        let latest = open.max(pair[0].0 + SignedDuration::from_secs(240));
        assert!(pair[1].0 <= latest, "no run from {} to {}, later than {latest}", pair[0].0, pair[1].0);
        assert!(pair[1].0 > pair[0].0);
    }
    if let Some(full) = &world.terms.full_sync {
        let last = world.facts.last_full.unwrap();
        let due = windows.open_from(Ticks::new(full).unwrap().after(last).unwrap() + jitter).unwrap();
        assert!(due + SignedDuration::from_mins(5) >= world.now, "no full sync since {}", last.to_zoned(TimeZone::UTC));
    }
    world.reached
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn weeks_go_by_and_the_rules_hold(seed in any::<u64>()) {
        simulate(seed);
    }
}

#[test]
fn weeks_have_everything_that_can_be_to_be_done() {
    let reached: BTreeSet<String> = (0..14).flat_map(simulate).collect();
    let expected = [
        "at Retry",
        "at Tick",
        "cancel",
        "held Dependencies([\"stock\"])",
        "held Running",
        "held Stalled",
        "held WindowClosed",
        "run Full NewGeneration",
        "run Full Request",
        "run Full Retry",
        "run Full Tick",
        "run Normal NewGeneration",
        "run Normal Request",
        "run Normal Retry",
        "run Normal Tick",
        "suspended false true",
        "suspended true false",
        "suspended true true",
    ];
    assert_eq!(reached.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

use std::{collections::BTreeMap, fmt::Write};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{at, duration, fault, schedule};
use crate::{
    agenda::{
        Agenda, Condition, Facts, Fault, Known, Outcome, Pass, Suspension, Terms,
        alerts::{Alert, Due, Event, Format, Notice, Situation, Target, Told, Webhook, due},
    },
    cases::random::Dice,
    spec::SecretSource,
};

fn target(name: &str) -> Target {
    let url = Webhook::Kept(SecretSource::Env(name.to_owned()));
    Target { url, format: Format::Json, on: Event::ALL.into(), repeat: None }
}

/// One who hears of these alone.
fn only(on: &[Event]) -> Target {
    Target { on: on.iter().copied().collect(), ..target("HOOK") }
}

/// A sync that runs every 15 minutes, and those who hear of it.
struct World {
    agenda: Agenda,
    targets: Vec<Target>,
    facts: Facts,
    known: Known,
    conditions: Vec<Condition>,
    told: Told,
}

impl World {
    fn new(targets: Vec<Target>) -> World {
        let terms = Terms { jitter: Some(duration("0s")), ..Terms::default() };
        World {
            agenda: Agenda::new("shop", Some(&schedule("15m")), &terms).unwrap(),
            targets,
            facts: Facts::new("one", at("10:00")),
            known: Known { conflicts: Some(0), ..Known::default() },
            conditions: Vec::new(),
            told: Told::default(),
        }
    }

    fn due(&self, conditions: &[Condition], now: Timestamp) -> Due {
        let situation = Situation {
            sync: "shop",
            facts: &self.facts,
            conditions,
            overdue_at: self.agenda.overdue_at(&self.facts, now),
            conflicts: self.known.conflicts,
            plan: Some("plan-7"),
        };
        due(&self.targets, &situation, &self.told, now)
    }

    /// What is due now. Whoever asks again is told nothing new, and what is written down is read again.
    fn ask(&mut self, now: Timestamp) -> Due {
        self.conditions = self.agenda.conditions(&self.facts, &self.known, &self.conditions, now);
        let found = self.due(&self.conditions, now);
        assert_eq!(found, self.due(&self.conditions, now), "it is the same each time");
        self.told = serde_json::from_str(&serde_json::to_string(&found.told).unwrap()).unwrap();
        assert_eq!(self.told, found.told);
        let again = self.due(&self.conditions, now);
        assert_eq!((again.alerts, again.told), (Vec::new(), found.told.clone()));
        assert!(found.look_again.is_none_or(|at| at > now), "{found:?}");
        found
    }

    fn run(&mut self, started: Timestamp, outcome: Outcome) {
        let run = self.facts.begin(Pass::Normal, started);
        self.facts.last = Some(run.ended(started + SignedDuration::from_secs(1), outcome));
        self.facts.running = None;
    }

    /// A step of a story: something that happens just before it is asked.
    fn step(&mut self, what: &str, now: Timestamp) {
        let before = now - SignedDuration::from_secs(1);
        match what {
            "done" => self.run(before, Outcome::Done),
            "failed" => self.run(before, Outcome::Failed(fault())),
            "stuck" => self.run(before, Outcome::Stuck(fault())),
            "held" => self.run(before, Outcome::Blocked(Fault { reason: "TooManyDeletes".into(), message: "900 rows".into() })),
            "begins" => self.facts.running = Some(self.facts.begin(Pass::Normal, before)),
            "dies" => self.facts.last = self.facts.running.take(),
            "changed" => self.facts.generation.push('+'),
            "broken" => self.known.source = Some(Fault { reason: "SpecInvalid".into(), message: "shop.yaml:3:1: unknown key".into() }),
            "mended" => self.known.source = None,
            "suspended" => {
                self.facts.suspended = Some(Suspension { by: "Ada".into(), since: now, until: None, why: None });
            }
            "resumed" => self.facts.suspended = None,
            "unknown" => self.known.conflicts = None,
            "" => {}
            count => self.known.conflicts = Some(count.parse().unwrap()),
        }
    }
}

/// Tells a story, `10:00 done, 10:15 failed, 10:20`, and what comes of it: `10:20 failure, 10:31 recovery`.
#[track_caller]
fn check(story: &str, expected: &str) {
    check_for(target("HOOK"), story, expected);
}

#[track_caller]
fn check_for(target: Target, story: &str, expected: &str) {
    let mut world = World::new(vec![target]);
    let mut found = String::new();
    for step in story.split(", ") {
        let (time, what) = step.split_once(' ').unwrap_or((step, ""));
        world.step(what, at(time));
        for alert in world.ask(at(time)).alerts {
            let again = if alert.repeated { " again" } else { "" };
            write!(found, "{time} {}{again}, ", alert.event.as_str()).unwrap();
        }
    }
    assert_eq!(found.trim_end_matches(", "), expected);
}

#[test]
fn a_failure_is_told_once_it_lasts_and_once_only() {
    check("10:00 done, 10:15 failed, 10:16 done", "");
    check("10:00 done, 10:15 failed, 10:16 failed, 10:17, 10:18 done, 10:30 failed, 10:31 done", "");
    check("10:00 done, 10:15 failed, 10:16 failed, 10:17 failed, 10:18 failed, 11:00, 12:00 failed", "10:17 failure");
    check("10:15 failed, 10:19, 10:20", "10:20 failure");
    check("10:15 failed, 10:16 failed, 10:19, 10:20", "10:20 failure");
    check("10:00 stuck, 10:01 done, 10:02 stuck", "10:00 failure, 10:01 recovery, 10:02 failure");
    check("10:00 begins, 10:01 dies, 10:02, 10:06", "10:06 failure");
}

#[test]
fn recovery_is_told_to_those_who_were_told() {
    check("10:00 stuck, 10:05 done, 10:10 done", "10:00 failure, 10:05 recovery");
    check_for(only(&[Event::Recovery]), "10:00 stuck, 10:05 done", "");
    check_for(only(&[Event::Failure]), "10:00 stuck, 10:05 done, 10:06 stuck", "10:00 failure, 10:06 failure");
    // Not by a new spec that has not run yet, nor by somebody who suspends it.
    check("10:00 stuck, 10:05 changed, 10:06 suspended, 10:07 resumed, 10:08 stuck, 10:09 done", "10:00 failure, 10:09 recovery");
    check("10:00 done, 10:01 broken, 10:05, 10:06, 10:07 mended", "10:06 failure, 10:07 recovery");
}

#[test]
fn conflicts_are_told_when_they_begin_to_wait_and_when_there_are_more() {
    let check = |story: &str, expected: &str| check_for(only(&[Event::Conflicts]), story, expected);
    check("10:00 2, 10:10 1, 10:20 2, 10:30 unknown, 10:40 3", "10:00 conflicts, 10:40 conflicts again");
    check("10:00 1, 10:01 2, 10:02 3, 10:04, 10:05, 10:06 4", "10:00 conflicts, 10:05 conflicts again");
    check("10:00 1, 10:01 0, 10:02 1", "10:00 conflicts, 10:02 conflicts");
}

#[test]
fn what_should_have_run_is_told() {
    check("10:00 done, 10:29, 10:30, 10:31, 11:31, 11:32 done, 11:40", "10:30 overdue, 11:32 recovery");
    check("10:00 done, 10:30, 10:31 begins, 10:32 failed, 10:33 done", "10:30 overdue, 10:33 recovery");
    // Whoever suspends it knows; it is well again when it runs.
    check("10:00 done, 10:30, 10:31 suspended, 10:50, 11:00 done, 11:01 resumed", "10:30 overdue, 11:00 recovery");
    check("10:00 done, 10:10 suspended, 12:00", "");
    // What fails is late, too: who was told of one need not be told of the other.
    check("10:00 stuck, 10:29, 10:31, 12:00 done", "10:00 failure, 12:00 recovery");
    check_for(only(&[Event::Overdue, Event::Recovery]), "10:00 stuck, 10:29, 10:31, 12:00 done", "10:31 overdue, 12:00 recovery");
}

#[test]
fn a_run_that_is_held_is_told_and_is_no_failure() {
    check("10:00 held, 10:15 held, 10:30 held, 10:31 done, 10:45 held", "10:00 held, 10:45 held");
    check("10:00 failed, 10:02 held, 10:06, 10:07 failed, 10:11, 10:12", "10:02 held, 10:12 failure");
    let mut world = World::new(vec![target("HOOK")]);
    world.step("held", at("10:00"));
    let alert = world.ask(at("10:00")).alerts.remove(0);
    assert_eq!((alert.reason.as_str(), alert.message.as_str(), alert.plan.as_deref()), ("TooManyDeletes", "900 rows", Some("plan-7")));
}

#[test]
fn what_goes_on_is_told_again_to_those_who_wish_so() {
    let often = Target { repeat: Some(duration("1h")), ..target("HOOK") };
    let story = "10:00 stuck, 10:59, 11:00, 11:30, 12:01, 12:02 done";
    check_for(often, story, "10:00 failure, 11:00 failure again, 12:01 failure again, 12:02 recovery");
}

#[test]
fn targets_hear_apart_and_a_new_one_hears_what_goes_on() {
    let mut world = World::new(vec![target("A")]);
    let told = |due: Due| due.alerts.into_iter().map(|alert| alert.target).collect::<Vec<_>>();
    world.step("stuck", at("10:00"));
    assert_eq!(told(world.ask(at("10:00"))), [target("A").key()]);
    world.targets = vec![target("B"), target("A")];
    assert_eq!(told(world.ask(at("10:01"))), [target("B").key()]);
    world.targets.remove(1);
    world.ask(at("10:02"));
    world.targets = vec![target("A"), target("B")];
    assert_eq!(told(world.ask(at("10:03"))), [target("A").key()], "who was gone is new");
}

#[test]
fn it_says_when_to_look_again() {
    let mut world = World::new(vec![Target { repeat: Some(duration("1h")), ..target("HOOK") }]);
    world.step("failed", at("10:00"));
    assert_eq!(world.ask(at("10:00")).look_again, Some(at("10:05")));
    let ripe = world.ask(at("10:05"));
    assert_eq!((ripe.alerts.len(), ripe.look_again), (1, Some(at("11:05"))));
    // Though nothing happens any more.
    let overdue = |on| World::new(vec![only(&[on])]).ask(at("10:00")).look_again;
    assert_eq!((overdue(Event::Overdue), overdue(Event::Failure)), (Some(at("10:30")), None));
}

#[test]
fn no_form_of_a_webhook_shows_what_is_secret_of_it() {
    let check = |webhook: Webhook, expected: &str| {
        assert_eq!(webhook.to_string(), expected);
        assert_eq!(format!("{webhook:?}"), expected);
    };
    check(Webhook::Url("https://user:pw@hooks.example.com:8443/T0/s3cret?sig=s3cret".into()), "https://hooks.example.com:8443");
    check(Webhook::Url("${HOOK}/s3cret".into()), "${HOOK}");
    check(Webhook::Url("https://${HOST}/s3cret".into()), "https://${HOST}");
    check(Webhook::Url("s3cret".into()), "a URL");
    check(Webhook::Kept(SecretSource::Env("HOOK".into())), "the URL in the variable HOOK");
    check(Webhook::Kept(SecretSource::File("hook.url".into())), "the URL in the file hook.url");
}

fn alert(event: Event) -> Alert {
    Alert {
        id: "0123456789abcdef".into(),
        target: "t".into(),
        event,
        time: at("10:17"),
        since: at("10:00"),
        repeated: false,
        reason: "Unreachable".into(),
        message: "cloud <db.example.com> & co. do not answer".into(),
        conflicts: (event == Event::Conflicts).then_some(3),
        plan: (event == Event::Held).then(|| "plan-7".into()),
    }
}

#[test]
fn forms_are_those_that_are_documented() {
    let payload = |event, format| {
        let alert = alert(event);
        let notice = Notice { alert: &alert, sync: "musteri_erp", remote_db_id: 42, generation: "ab12", revision: Some("main@1f3c") };
        serde_json::to_string_pretty(&notice.payload(format)).unwrap()
    };
    insta::assert_snapshot!(payload(Event::Conflicts, Format::Json));
    insta::assert_snapshot!(payload(Event::Held, Format::Json));
    insta::assert_snapshot!(payload(Event::Held, Format::Teams));
    let slack: Vec<String> = Event::ALL.map(|event| payload(event, Format::Slack)).into();
    insta::assert_snapshot!(slack.join("\n"));
}

#[test]
fn long_messages_are_cut() {
    let alert = Alert { message: "ş".repeat(5000), ..alert(Event::Failure) };
    let notice = Notice { alert: &alert, sync: "a", remote_db_id: 1, generation: "g", revision: None };
    let message = notice.payload(Format::Json)["message"].as_str().unwrap().to_owned();
    assert_eq!((message.chars().count(), message.chars().last()), (2001, Some('…')));
    assert_eq!(notice.payload(Format::Json).get("revision"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_told_twice_and_every_recovery_has_its_failure(seed in any::<u64>()) {
        let steps = ["done", "done", "failed", "failed", "stuck", "held", "begins", "dies", "changed", "broken", "mended", "suspended", "resumed", "unknown", "", "", "0", "1", "2", "9"];
        let mut dice = Dice::new(seed, 0);
        let mut other = target("B");
        other.on.retain(|_| dice.below(4) > 0);
        let mut world = World::new(vec![target("A"), other]);
        let mut now = at("10:00");
        let mut open: BTreeMap<(String, Event), u64> = BTreeMap::new();
        for _ in 0..120 {
            now += SignedDuration::from_secs([1, 40, 400, 2000][dice.below(4)]);
            let what = steps[dice.below(steps.len())];
            world.step(if what == "dies" && world.facts.running.is_none() { "" } else { what }, now);
            for alert in world.ask(now).alerts {
                let target = alert.target.clone();
                let is_open = |event| open.contains_key(&(target.clone(), event));
                match alert.event {
                    Event::Recovery => {
                        prop_assert!(is_open(Event::Failure) || is_open(Event::Overdue), "{alert:?}");
                        open.remove(&(target.clone(), Event::Failure));
                        open.remove(&(target.clone(), Event::Overdue));
                    }
                    Event::Failure | Event::Overdue => {
                        let wants_recovery = world.targets.iter().any(|known| known.key() == target && known.on.contains(&Event::Recovery));
                        prop_assert!(!wants_recovery || open.insert((target, alert.event), 1).is_none(), "{alert:?}");
                    }
                    Event::Conflicts => {
                        let count = alert.conflicts.unwrap();
                        let before = open.insert((target, Event::Conflicts), count);
                        prop_assert!(before.is_none_or(|before| before < count && alert.repeated), "{alert:?}");
                    }
                    Event::Held => prop_assert!(open.insert((target, Event::Held), 1).is_none(), "{alert:?}"),
                }
            }
            if world.known.conflicts == Some(0) {
                open.retain(|(_, event), _| *event != Event::Conflicts);
            }
            let is_held = matches!(world.facts.last.as_ref().and_then(|last| last.end.as_ref()), Some((_, Outcome::Blocked(_))));
            if !is_held || world.known.source.is_some() {
                open.retain(|(_, event), _| *event != Event::Held);
            }
        }
    }
}

use std::fmt::Write;

use super::{after_run, agenda, at, fault};
use crate::agenda::{Condition, Dependency, Facts, Fault, Known, Outcome, Pass, Request, Suspension, Terms, Verdict};

const DONE: fn(Fault) -> Outcome = |_| Outcome::Done;

fn known() -> Known {
    let verdict = Verdict { at: at("10:01"), generation: "one".into(), rows: 0 };
    Known { source: None, verdict: Some(verdict), conflicts: Some(0) }
}

/// What is said of a sync that runs every 15 minutes: each condition's sign and reason, in their order; `+` true, `-` false, `?` unknown.
fn check(terms: &Terms, facts: &Facts, known: &Known, now: &str, expected: &str) {
    let said = agenda("15m", terms).conditions(facts, known, &[], at(now));
    let mut found = String::new();
    for condition in &said {
        let sign = match condition.status {
            crate::agenda::Status::True => '+',
            crate::agenda::Status::False => '-',
            crate::agenda::Status::Unknown => '?',
        };
        write!(found, "{sign}{} ", condition.reason).unwrap();
        assert!(!condition.message.is_empty() && condition.observed_generation == facts.generation);
    }
    assert_eq!(found.trim_end(), expected, "{facts:#?}");
}

#[test]
fn what_is_known_is_said_and_what_is_not_is_unknown() {
    let terms = Terms { jitter: Some(std::time::Duration::ZERO), ..Terms::default() };
    let done = after_run("10:00", DONE);
    let check = |facts: &Facts, known: &Known, now: &str, expected: &str| check(&terms, facts, known, now, expected);
    check(&Facts::new("one", at("10:00")), &Known::default(), "10:00", "?NotRunYet +Due -NotStalled ?NotCompared ?NotCounted -Active");
    check(&done, &known(), "10:02", "+Succeeded -Waiting -NotStalled -InStep -NoConflicts -Active");
    check(&done, &known(), "10:15", "+Succeeded +Due -NotStalled -InStep -NoConflicts -Active");
    // A verdict of three intervals ago is none.
    check(&done, &known(), "10:46", "+Succeeded +Due -NotStalled ?Outdated -NoConflicts -Active");
    let mut differs = known();
    differs.verdict.as_mut().unwrap().rows = 7;
    differs.conflicts = Some(2);
    check(&done, &differs, "10:02", "+Succeeded -Waiting -NotStalled +RowsDiffer +ConflictsWait -Active");
    let changed = Facts { generation: "two".into(), ..done.clone() };
    check(&changed, &known(), "10:02", "?NewGeneration +Due -NotStalled ?NewGeneration -NoConflicts -Active");
    let mut running = changed;
    running.running = Some(running.begin(Pass::Normal, at("10:02")));
    check(&running, &known(), "10:02", "?NewGeneration +Running -NotStalled ?NewGeneration -NoConflicts -Active");
    let broken = Known { source: Some(Fault { reason: "SpecInvalid".into(), message: "shop.yaml:3:1: unknown key".into() }), ..known() };
    check(&done, &broken, "10:02", "-SpecInvalid -Waiting -NotStalled -InStep -NoConflicts -Active");
}

#[test]
fn failures_are_told_with_their_reason() {
    let check = |facts: &Facts, now: &str, expected: &str| check(&Terms::default(), facts, &known(), now, expected);
    check(&after_run("10:00", Outcome::Failed), "10:01", "-Unreachable +WaitingToRetry -NotStalled -InStep -NoConflicts -Active");
    let stuck = after_run("10:00", Outcome::Stuck);
    check(&stuck, "10:20", "-Unreachable -Stalled +Unreachable -InStep -NoConflicts -Active");
    let asked = Facts { request: Some(Request { token: "x".into(), pass: Pass::Normal }), ..stuck };
    check(&asked, "10:20", "-Unreachable +Due -NotStalled -InStep -NoConflicts -Active");
    check(&after_run("10:00", Outcome::Blocked), "10:02", "-Unreachable -Waiting -NotStalled -InStep -NoConflicts -Active");
    let mut died = after_run("10:00", DONE);
    died.last.as_mut().unwrap().end = None;
    check(&died, "10:00", "?Interrupted +WaitingToRetry -NotStalled -InStep -NoConflicts -Active");
}

#[test]
fn what_holds_it_is_told() {
    let done = after_run("10:00", DONE);
    let person = Suspension { by: "ada".into(), since: at("09:00"), until: None, why: Some("month end".into()) };
    let by_person = Facts { suspended: Some(person), ..done.clone() };
    let by_spec = Terms { suspend: true, ..Terms::default() };
    let told = |reason: &str| format!("+Succeeded -Suspended -NotStalled -InStep -NoConflicts +{reason}");
    check(&Terms::default(), &by_person, &known(), "10:02", &told("SuspendedByPerson"));
    check(&by_spec, &done, &known(), "10:02", &told("SuspendedBySpec"));
    check(&by_spec, &by_person, &known(), "10:02", &told("SuspendedBySpecAndPerson"));
    let said = agenda("15m", &Terms::default()).conditions(&by_person, &known(), &[], at("10:02"));
    assert_eq!(said[5].message, "ada suspended it at 2026-05-05T09:00:00Z: month end");
    let waits = Facts { dependencies: vec![Dependency { name: "stock".into(), generation: None, ready: None }], ..done };
    check(&Terms::default(), &waits, &known(), "10:20", "+Succeeded -DependencyNotReady -NotStalled -InStep -NoConflicts -Active");
}

#[test]
fn the_time_of_a_condition_moves_with_its_status_only() {
    let agenda = agenda("15m", &Terms::default());
    let times = |said: &[Condition]| said.iter().map(|condition| condition.last_transition_time).collect::<Vec<_>>();
    let first = agenda.conditions(&after_run("10:00", DONE), &known(), &[], at("10:02"));
    assert_eq!(times(&first), [at("10:02"); 6]);
    // Ready for another reason, and of another run: since the same time.
    let second = agenda.conditions(&after_run("10:15", DONE), &known(), &first, at("10:17"));
    assert_eq!(times(&second), [at("10:02"); 6]);
    assert_ne!(first[0].message, second[0].message);
    let third = agenda.conditions(&after_run("10:30", Outcome::Failed), &known(), &second, at("10:31"));
    assert_eq!(times(&third), [at("10:31"), at("10:31"), at("10:02"), at("10:02"), at("10:02"), at("10:02")]);
}

#[test]
fn conditions_are_written_as_kubernetes_writes_them() {
    let said = agenda("15m", &Terms::default()).conditions(&after_run("10:00", DONE), &known(), &[], at("10:02"));
    assert_eq!(
        serde_json::to_value(&said[0]).unwrap(),
        serde_json::json!({
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "the last run ended well at 2026-05-05T10:01:00Z",
            "lastTransitionTime": "2026-05-05T10:02:00Z", "observedGeneration": "one",
        })
    );
}

#[test]
fn a_generation_is_observed_when_it_is_known_what_becomes_of_it() {
    let observed = |facts: &Facts| facts.observed_generation().map(str::to_owned);
    assert_eq!(observed(&after_run("10:00", DONE)).as_deref(), Some("one"));
    assert_eq!(observed(&after_run("10:00", Outcome::Stuck)).as_deref(), Some("one"));
    assert_eq!(observed(&after_run("10:00", Outcome::Failed)), None);
    assert_eq!(observed(&Facts::new("one", at("10:00"))), None);
    assert_eq!(fault().reason, "Unreachable");
}

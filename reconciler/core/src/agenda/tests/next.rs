use jiff::SignedDuration;

use super::{after_run, agenda, at, duration, schedule};
use crate::agenda::{Dependency, Facts, Hold, Next, Outcome, Pass, Request, Suspension, Terms, Why, Window, WindowKind};

fn exact() -> Terms {
    Terms { jitter: Some(duration("0s")), ..Terms::default() }
}

fn check(every: &str, terms: &Terms, facts: &Facts, now: &str, expected: &Next) {
    assert_eq!(agenda(every, terms).next(facts, at(now)), *expected, "{every} at {now}: {facts:?}");
}

fn held(by: Hold, look_again: Option<&str>) -> Next {
    Next::Held { by, look_again: look_again.map(at) }
}

fn request(token: &str) -> Option<Request> {
    Some(Request { token: token.into(), pass: Pass::Normal })
}

const DONE: fn(crate::agenda::Fault) -> Outcome = |_| Outcome::Done;
const TICK: Next = Next::Run(Pass::Normal, Why::Tick);
const FULL: Next = Next::Run(Pass::Full, Why::Tick);

#[test]
fn ticks_are_due_and_collapse() {
    let facts = after_run("10:00", DONE);
    check("15m", &exact(), &facts, "10:14:59", &Next::At(at("10:15"), Why::Tick));
    check("15m", &exact(), &facts, "10:15", &TICK);
    check("15m", &exact(), &facts, "23:00", &TICK);
    check("15m", &exact(), &after_run("23:00", DONE), "23:02", &Next::At(at("23:15"), Why::Tick));
    check("0 12 * * * UTC", &exact(), &facts, "11:00", &Next::At(at("12:00"), Why::Tick));
    check("0 12 * * * UTC", &exact(), &facts, "20:00", &TICK);
    check("", &exact(), &facts, "20:00", &Next::Idle);
    // The clock was set back: nobody waits until it is there again.
    check("15m", &exact(), &facts, "03:00", &TICK);
}

#[test]
fn a_full_sync_takes_the_place_of_a_tick() {
    let terms = Terms { full_sync: Some(schedule("0 12 * * * UTC")), ..exact() };
    let facts = after_run("11:45", DONE);
    check("15m", &terms, &facts, "11:59", &Next::At(at("12:00"), Why::Tick));
    check("15m", &terms, &facts, "12:00", &FULL);
    // Once it was done, it is over until the next day.
    let done = Facts { last_full: Some(at("12:00")), ..after_run("12:00", DONE) };
    check("15m", &terms, &done, "12:10", &Next::At(at("12:15"), Why::Tick));
    check("15m", &terms, &done, "12:15", &TICK);
    // Due between ticks, and without any.
    check("2h", &terms, &facts, "12:00", &FULL);
    check("", &terms, &facts, "12:00", &FULL);
    check("", &terms, &facts, "11:00", &Next::At(at("12:00"), Why::Tick));
    // Asked for while it is due.
    check("15m", &terms, &Facts { request: request("x"), ..facts }, "12:00", &Next::Run(Pass::Full, Why::Request));
}

#[test]
fn a_failed_full_sync_is_still_owed() {
    let mut facts = after_run("12:00", Outcome::Failed);
    facts.last.as_mut().unwrap().pass = Pass::Full;
    check("15m", &exact(), &facts, "13:00", &Next::Run(Pass::Full, Why::Retry));
    facts.request = request("x");
    check("15m", &exact(), &facts, "12:01", &Next::Run(Pass::Full, Why::Request));
}

#[test]
fn new_specs_run_at_once_unless_on_demand() {
    check("15m", &exact(), &Facts::new("one", at("10:00")), "10:00", &Next::Run(Pass::Normal, Why::NewGeneration));
    check("", &exact(), &Facts::new("one", at("10:00")), "10:00", &Next::Idle);
    let changed = Facts { generation: "two".into(), ..after_run("10:00", DONE) };
    check("15m", &exact(), &changed, "10:02", &Next::Run(Pass::Normal, Why::NewGeneration));
    check("", &exact(), &changed, "10:02", &Next::Idle);
    // What was asked for and failed is still to be done.
    let changed = Facts { generation: "two".into(), ..after_run("10:00", Outcome::Stuck) };
    check("", &exact(), &changed, "10:02", &Next::Run(Pass::Normal, Why::NewGeneration));
}

#[test]
fn failures_are_retried_apart_from_the_interval() {
    let facts = after_run("10:00", Outcome::Failed);
    let Next::At(first, Why::Retry) = agenda("24h", &exact()).next(&facts, at("10:01")) else { panic!("no retry") };
    let waited = first.duration_since(at("10:01")).as_millis();
    assert!((2_500..=5_000).contains(&waited), "{waited}");
    check("24h", &exact(), &facts, "10:01:05", &Next::Run(Pass::Normal, Why::Retry));
    // A short interval does not hammer either.
    let mut often = facts.clone();
    often.last.as_mut().unwrap().failures_before = 10;
    let Next::At(next, Why::Retry) = agenda("1s", &exact()).next(&often, at("10:01:30")) else { panic!("no wait") };
    assert!(next >= at("10:03:30") && next <= at("10:06"), "{next}");
    // A run whose process died has failed.
    let mut died = facts;
    died.last.as_mut().unwrap().end = None;
    check("24h", &exact(), &died, "10:00:05", &Next::Run(Pass::Normal, Why::Retry));
    assert!(matches!(agenda("24h", &exact()).next(&died, at("10:00:02")), Next::At(_, Why::Retry)));
}

#[test]
fn failures_in_a_row_are_counted_until_something_is_new() {
    let mut facts = Facts::new("one", at("00:00"));
    let mut run = |change: fn(&mut Facts), outcome: fn(crate::agenda::Fault) -> Outcome| {
        change(&mut facts);
        let attempt = facts.begin(Pass::Normal, at("10:00")).ended(at("10:01"), outcome(super::fault()));
        facts.last = Some(attempt);
        facts.last.as_ref().unwrap().failures()
    };
    let same: fn(&mut Facts) = |_| {};
    let counted = [
        run(same, Outcome::Failed),
        run(same, Outcome::Failed),
        run(|facts| facts.generation = "two".into(), Outcome::Failed),
        run(same, Outcome::Failed),
        run(|facts| facts.request = request("x"), Outcome::Failed),
        run(|facts| facts.request = request("x"), Outcome::Stuck),
        run(same, DONE),
        run(same, Outcome::Failed),
        run(same, Outcome::Blocked),
    ];
    assert_eq!(counted, [1, 2, 1, 2, 1, 2, 0, 1, 0]);
}

#[test]
fn what_only_a_change_can_mend_stalls_until_there_is_one() {
    let facts = after_run("10:00", Outcome::Stuck);
    check("15m", &exact(), &facts, "23:00", &held(Hold::Stalled, None));
    check("15m", &exact(), &Facts { generation: "two".into(), ..facts.clone() }, "10:02", &Next::Run(Pass::Normal, Why::NewGeneration));
    check("15m", &exact(), &Facts { request: request("x"), ..facts }, "10:02", &Next::Run(Pass::Normal, Why::Request));
    // What a guard holds is looked at again with the next tick.
    check("15m", &exact(), &after_run("10:00", Outcome::Blocked), "10:02", &Next::At(at("10:15"), Why::Tick));
}

#[test]
fn a_request_runs_at_once_and_once() {
    let mut facts = Facts { request: request("x"), ..after_run("10:00", DONE) };
    check("24h", &exact(), &facts, "10:02", &Next::Run(Pass::Normal, Why::Request));
    check("", &exact(), &facts, "10:02", &Next::Run(Pass::Normal, Why::Request));
    facts.last = Some(facts.begin(Pass::Normal, at("10:02")).ended(at("10:03"), Outcome::Done));
    check("24h", &exact(), &facts, "10:04", &Next::At(at("10:02") + SignedDuration::from_hours(24), Why::Tick));
    check("", &exact(), &facts, "10:04", &Next::Idle);
    facts.request = Some(Request { token: "y".into(), pass: Pass::Full });
    check("24h", &exact(), &facts, "10:04", &Next::Run(Pass::Full, Why::Request));
}

#[test]
fn one_run_at_a_time_and_none_for_ever() {
    let mut facts = Facts { request: request("x"), generation: "two".into(), ..after_run("10:00", DONE) };
    facts.running = Some(facts.begin(Pass::Normal, at("11:00")));
    check("15m", &exact(), &facts, "11:30", &held(Hold::Running, Some("12:00")));
    check("15m", &exact(), &facts, "12:00", &Next::Cancel { started: at("11:00") });
    check("15m", &Terms { run_timeout: Some(duration("1m")), ..exact() }, &facts, "11:01", &Next::Cancel { started: at("11:00") });
    // A suspension lets it finish.
    check("15m", &Terms { suspend: true, ..exact() }, &facts, "11:30", &held(Hold::Running, Some("12:00")));
}

#[test]
fn either_suspends_and_both_must_clear() {
    let suspend = Terms { suspend: true, ..exact() };
    let person = Suspension { by: "ada".into(), since: at("09:00"), until: Some(at("12:00")), why: None };
    let plain = after_run("10:00", DONE);
    let facts = Facts { suspended: Some(person.clone()), request: request("x"), ..plain.clone() };
    let by = |by_spec: bool, by_person: Option<&Suspension>| Hold::Suspended { by_spec, by_person: by_person.cloned() };
    check("15m", &exact(), &facts, "11:00", &held(by(false, Some(&person)), Some("12:00")));
    check("15m", &suspend, &facts, "11:00", &held(by(true, Some(&person)), Some("12:00")));
    check("15m", &suspend, &facts, "12:00", &held(by(true, None), None));
    check("15m", &suspend, &plain, "11:00", &held(by(true, None), None));
    check("15m", &exact(), &facts, "12:00", &Next::Run(Pass::Normal, Why::Request));
}

#[test]
fn it_waits_for_others_and_for_its_window() {
    let waits = |ready: &str| Dependency { name: "stock".into(), generation: Some("two".into()), ready: Some(ready.into()) };
    let mut facts = Facts { dependencies: vec![waits("one")], ..after_run("10:00", DONE) };
    check("15m", &exact(), &facts, "10:15", &held(Hold::Dependencies(vec!["stock".into()]), None));
    check("15m", &exact(), &facts, "10:05", &Next::At(at("10:15"), Why::Tick));
    facts.dependencies = vec![waits("two")];
    check("15m", &exact(), &facts, "10:15", &TICK);
    let window = |kind: WindowKind| Window { kind, cron: "0 14 * * *".into(), duration: duration("2h"), timezone: "UTC".into() };
    let afternoon = Terms { windows: vec![window(WindowKind::Allow)], ..exact() };
    check("15m", &afternoon, &facts, "10:15", &held(Hold::WindowClosed, Some("14:00")));
    // Told as it will be: the tick at 10:15 has to wait.
    check("15m", &afternoon, &facts, "10:05", &Next::At(at("14:00"), Why::Tick));
    check("15m", &afternoon, &facts, "14:00", &TICK);
    check("15m", &Terms { windows: vec![window(WindowKind::Deny)], ..exact() }, &facts, "15:00", &held(Hold::WindowClosed, Some("16:00")));
    // A request does not open it.
    check("15m", &afternoon, &Facts { request: request("x"), ..facts }, "10:15", &held(Hold::WindowClosed, Some("14:00")));
}

#[test]
fn two_ticks_that_nobody_served_are_overdue() {
    let check = |every: &str, terms: &Terms, facts: &Facts, expected: Option<&str>| {
        assert_eq!(agenda(every, terms).overdue_at(facts, at("10:20")), expected.map(at), "{every} {terms:?} {facts:?}");
    };
    let facts = after_run("10:00", DONE);
    check("15m", &exact(), &facts, Some("10:30"));
    check("15m", &Terms { jitter: Some(duration("1m")), ..exact() }, &facts, Some("10:31"));
    check("0 */6 * * * UTC", &exact(), &facts, Some("18:00"));
    check("", &exact(), &facts, None);
    check("", &Terms { full_sync: Some(schedule("1h")), ..exact() }, &facts, Some("12:00"));
    let mut running = facts.clone();
    running.running = Some(facts.begin(Pass::Normal, at("10:15")));
    check("15m", &exact(), &running, Some("10:45"));
    // Nobody waits for what must not be.
    check("15m", &Terms { suspend: true, ..exact() }, &facts, None);
    let window = Window { kind: WindowKind::Allow, cron: "0 14 * * *".into(), duration: duration("2h"), timezone: "UTC".into() };
    check("15m", &Terms { windows: vec![window], ..exact() }, &facts, Some("14:15"));
}

//! Letters posted to real servers, good and bad.

use std::time::{Duration, Instant};

use berqenas::{
    alerts::{Delivery, Fate, Letter, Timeouts, post},
    specs::resolve_webhook,
};
use berqenas_core::{
    agenda::{
        Agenda, Facts, Fault, Known, Outcome, Pass,
        alerts::{Due, Notice, Situation, Told, due},
    },
    spec,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::json;

use crate::support::{
    postgres::free_port,
    webhook::{
        Answer::{self, Close, Hang, HangAmid, Status, Text},
        Webhook,
    },
};

const QUICK: Timeouts = Timeouts { connect: Duration::from_millis(400), whole: Duration::from_millis(800) };
const PATH: &str = "/hooks/s3cret?sig=s3cret";

async fn posted(url: &str, timeouts: Timeouts) -> Delivery {
    let delivery = post(&SecretString::from(url), &json!({ "text": "Gün aydı" }), timeouts).await;
    let told = format!("{delivery:?}");
    assert!(!told.contains("s3cret") && !told.contains("/hooks"), "{told}");
    delivery
}

fn later(why: &str) -> Delivery {
    Delivery::Later { after: None, why: why.to_owned() }
}

/// Posts to a server with these answers; tells what comes of it, and how many requests came.
async fn check(answers: &[Answer], expected: Delivery, requests: usize) {
    let server = Webhook::new(answers).await;
    assert_eq!(posted(&server.url(PATH), Timeouts::default()).await, expected, "{answers:?}");
    assert_eq!(server.received().len(), requests, "{answers:?}");
}

#[tokio::test]
async fn a_letter_is_posted_as_json() {
    let server = Webhook::new(&[Status(200, "")]).await;
    assert_eq!(posted(&server.url(PATH), Timeouts::default()).await, Delivery::Done);
    let received = server.received().remove(0);
    let head = received.head.to_lowercase();
    assert!(received.head.starts_with("POST /hooks/s3cret?sig=s3cret HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("user-agent: berqenas/"), "{head}");
    assert!(!head.contains("authorization") && !head.contains("cookie"), "{head}");
    assert_eq!(received.body, r#"{"text":"Gün aydı"}"#);
}

#[tokio::test]
async fn a_login_of_the_url_goes_where_it_belongs() {
    let server = Webhook::new(&[Status(204, "")]).await;
    let url = server.url("/hooks").replace("http://", "http://erp:p%40ss%3A@");
    assert_eq!(posted(&url, Timeouts::default()).await, Delivery::Done);
    let head = server.received().remove(0).head;
    assert!(head.to_lowercase().contains("authorization: basic ") && head.contains("ZXJwOnBAc3M6"), "{head}");
    assert!(!head.contains("p%40ss") && !head.contains("erp:"), "{head}");
}

#[tokio::test]
async fn answers_say_whether_to_try_again() {
    check(&[Status(202, "")], Delivery::Done, 1).await;
    check(&[Status(500, "")], later("it answered 500"), 1).await;
    check(&[Status(408, "")], later("it answered 408"), 1).await;
    check(&[Status(404, "")], Delivery::Never { why: "it answered 404".into() }, 1).await;
    let asked = |seconds| Delivery::Later { after: Some(Duration::from_secs(seconds)), why: "it answered 429".into() };
    check(&[Status(429, "Retry-After: 30\r\n")], asked(30), 1).await;
    let dated = "Retry-After: Tue, 05 May 2026 10:01:30 GMT\r\nDate: Tue, 05 May 2026 10:00:00 GMT\r\n";
    check(&[Status(429, dated)], asked(90), 1).await;
}

#[tokio::test]
async fn redirects_are_followed_within_the_host() {
    check(&[Status(307, "Location: /other\r\n"), Status(200, "")], Delivery::Done, 2).await;
    check(&[Status(308, "Location: other\r\n"), Status(503, "")], later("it answered 503"), 2).await;
    check(&[Status(307, "Location: /s3cret\r\n")], Delivery::Never { why: "it redirects for ever".into() }, 4).await;
    let elsewhere = |status| {
        let why = format!("it answered {status} and sends us elsewhere: the URL must be that of the webhook itself");
        Delivery::Never { why }
    };
    check(&[Status(302, "Location: /other\r\n")], elsewhere(302), 1).await;
    check(&[Status(307, "Location: http://example.com/s3cret\r\n")], elsewhere(307), 1).await;
    check(&[Status(308, "Location: http://127.0.0.1:1/s3cret\r\n")], elsewhere(308), 1).await;
    check(&[Status(307, "")], elsewhere(307), 1).await;
    let server = Webhook::new(&[Status(308, "Location: /other\r\n"), Status(200, "")]).await;
    posted(&server.url(PATH), Timeouts::default()).await;
    let [first, second] = &server.received()[..] else { panic!("two requests") };
    assert_eq!((second.head.lines().next().unwrap(), &second.body), ("POST /other HTTP/1.1", &first.body), "the letter goes along");
}

#[tokio::test]
async fn servers_that_break_off_are_tried_again() {
    for answer in [Close, Text(""), Text("HTTP/1.1 2"), Text("SSH-2.0-OpenSSH_9.2\r\n"), Text("HTTP/1.1 200 OK\r\nno header\r\n\r\n")] {
        let server = Webhook::new(std::slice::from_ref(&answer)).await;
        let delivery = posted(&server.url(PATH), Timeouts::default()).await;
        assert!(matches!(delivery, Delivery::Later { after: None, .. }), "{answer:?}: {delivery:?}");
    }
    let nobody = posted(&format!("http://127.0.0.1:{}{PATH}", free_port()), Timeouts::default()).await;
    assert!(matches!(&nobody, Delivery::Later { why, .. } if why.contains("refused")), "{nobody:?}");
    let nowhere = posted(&format!("http://nowhere.invalid{PATH}"), Timeouts::default()).await;
    assert!(matches!(nowhere, Delivery::Later { .. }), "{nowhere:?}");
    let server = Webhook::new(&[Status(200, "")]).await;
    let no_tls = posted(&server.url(PATH).replace("http:", "https:"), Timeouts::default()).await;
    assert!(matches!(no_tls, Delivery::Later { .. }), "{no_tls:?}");
}

#[tokio::test]
async fn servers_that_hang_hold_nobody_up() {
    for answer in [Hang, HangAmid] {
        let server = Webhook::new(std::slice::from_ref(&answer)).await;
        let began = Instant::now();
        assert_eq!(posted(&server.url(PATH), QUICK).await, later("no answer within 800ms"), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_is_no_webhook_is_never_posted() {
    for url in ["", "s3cret", "ftp://127.0.0.1/s3cret", "https://:80/s3cret"] {
        assert!(matches!(posted(url, QUICK).await, Delivery::Never { .. }), "{url}");
    }
}

/// From the spec to the webhook, as whoever drives it goes: a sync that stalls, a webhook that is busy at first, and what comes when all
/// is well again.
#[tokio::test]
async fn a_failure_and_its_end_reach_the_webhook() {
    let server = Webhook::new(&[Status(503, "Retry-After: 40\r\n"), Status(200, "")]).await;
    let text = "version: 1\nname: shop\nid: 42\ncloud: sqlite:c.db\nlocal: sqlite:l.db\ninterval: 15m\ntables: [t]\nalerts: [{url: '${HOOK}/s3cret', format: slack}]\n";
    let spec = spec::read("shop.yaml", text).unwrap().remove(0);
    let agenda = Agenda::new(&spec.name, spec.schedule.as_ref(), &spec.terms).unwrap();
    let began: Timestamp = "2026-05-05T10:00:00Z".parse().unwrap();
    let mut facts = Facts::new(&spec.generation, began);
    let mut told = Told::default();
    let mut letters = Vec::new();
    let fault = Fault { reason: "SchemaChanged".into(), message: "table t has no column name".into() };
    for (minute, outcome) in [(0, Outcome::Stuck(fault.clone())), (1, Outcome::Stuck(fault)), (2, Outcome::Done)] {
        let now = began + SignedDuration::from_mins(minute);
        facts.last = Some(facts.begin(Pass::Normal, now).ended(now, outcome));
        let conditions = agenda.conditions(&facts, &Known::default(), &[], now);
        let overdue_at = agenda.overdue_at(&facts, now);
        let situation = Situation { sync: &spec.name, facts: &facts, conditions: &conditions, overdue_at, conflicts: None, plan: None };
        let found: Due = due(&spec.alerts, &situation, &told, now);
        told = found.told;
        for alert in &found.alerts {
            let notice = Notice { alert, sync: &spec.name, remote_db_id: spec.id, generation: &spec.generation, revision: None };
            letters.push(Letter::new(&notice, spec.alerts.iter().find(|target| target.key() == alert.target).unwrap()));
        }
    }
    assert_eq!(letters.len(), 2, "{letters:?}");
    let hook = server.url("");
    let url = resolve_webhook(&spec.alerts[0].url, std::path::Path::new("specs"), &|name| (name == "HOOK").then(|| hook.clone())).unwrap();
    let post = async |letter: &Letter, now| letter.fate(post(&url, &letter.payload, Timeouts::default()).await, now);
    let Fate::Again { letter, why } = post(&letters[0], began).await else { panic!("the webhook was busy") };
    assert_eq!((why.as_str(), letter.next_attempt, letter.attempts), ("it answered 503", began + SignedDuration::from_secs(40), 1));
    assert_eq!(post(&letter, letter.next_attempt).await, Fate::Delivered);
    assert_eq!(post(&letters[1], began).await, Fate::Delivered);
    let texts: Vec<String> = server
        .received()
        .iter()
        .map(|received| serde_json::from_str::<serde_json::Value>(&received.body).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[1], "✗ *shop*: the sync fails\ntable t has no column name\nreason: SchemaChanged · since: 2026-05-05T10:00:00Z");
    assert!(texts[2].starts_with("✓ *shop*: the sync is well again\n"), "{}", texts[2]);
}

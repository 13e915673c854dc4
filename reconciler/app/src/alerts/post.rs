//! One delivery: a POST, and what the answer means. Nothing that is said of it holds the URL's path or query: they are secrets.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::fmt::rfc2822;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, header},
};
use url::Url;

/// How often a redirect is followed.
const REDIRECTS: usize = 3;
/// How much longer than [`Timeouts::whole`] nobody waits, whatever holds the delivery up.
const GRACE: Duration = Duration::from_secs(2);

/// How long a delivery may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Finding the host, and connecting to it.
    pub connect: Duration,
    /// All of it.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(5), whole: Duration::from_secs(10) }
    }
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Done,
    /// It was not taken, and may be later.
    Later {
        /// How long the webhook asks us to wait.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
    /// It will not be taken.
    Never {
        /// Why.
        why: String,
    },
}

impl Delivery {
    fn later(why: impl Into<String>) -> Delivery {
        Delivery::Later { after: None, why: why.into() }
    }

    fn never(why: impl Into<String>) -> Delivery {
        Delivery::Never { why: why.into() }
    }
}

/// Posts a payload. Redirects are followed within the host only.
pub async fn post(url: &SecretString, payload: &Value, timeouts: Timeouts) -> Delivery {
    let Some(url) = webhook(url.expose_secret()) else { return Delivery::never("what is filled in is no URL of http or https") };
    let body = payload.to_string();
    let sending = tokio::task::spawn_blocking(move || send(url, &body, timeouts));
    match tokio::time::timeout(timeouts.whole.saturating_add(GRACE), sending).await {
        Ok(Ok(delivery)) => delivery,
        Ok(Err(_)) => Delivery::later("the delivery broke off"),
        Err(_) => Delivery::later(format!("it took longer than {:?}", timeouts.whole)),
    }
}

fn webhook(url: &str) -> Option<Url> {
    Url::parse(url.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty()))
}

fn send(mut url: Url, body: &str, timeouts: Timeouts) -> Delivery {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(timeouts.whole))
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("berqenas/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let login = login(&mut url);
    for _ in 0..=REDIRECTS {
        let mut request = agent.post(url.as_str()).header(header::CONTENT_TYPE, "application/json");
        if let Some(login) = &login {
            request = request.header(header::AUTHORIZATION, login.expose_secret());
        }
        let answer = match request.send(body) {
            Ok(answer) => answer,
            Err(fault) => return failed(&fault, timeouts),
        };
        match redirect(&answer, &url) {
            Some(target) => url = target,
            None => return answered(answer.status().as_u16(), answer.headers()),
        }
    }
    Delivery::never("it redirects for ever")
}

/// The header for the user and the password of a URL, which are taken out of it.
fn login(url: &mut Url) -> Option<SecretString> {
    let password = url.password().unwrap_or_default();
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    let mut login: Vec<u8> = percent_decode_str(url.username()).collect();
    login.push(b':');
    login.extend(percent_decode_str(password));
    // A URL with a host has a place for both, empty or not.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(SecretString::from(format!("Basic {}", BASE64_STANDARD.encode(login))))
}

/// Where the same request is to be sent instead, if that is the same host's.
fn redirect(answer: &Response<Body>, from: &Url) -> Option<Url> {
    if !matches!(answer.status().as_u16(), 307 | 308) {
        return None;
    }
    let to = from.join(answer.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    let is_same = to.scheme() == from.scheme() && to.port_or_known_default() == from.port_or_known_default();
    let is_safer = from.scheme() == "http" && to.scheme() == "https";
    (to.host() == from.host() && (is_same || is_safer)).then_some(to)
}

/// What a final answer means.
fn answered(status: u16, headers: &HeaderMap) -> Delivery {
    match status {
        200..=299 => Delivery::Done,
        408 | 425 | 429 | 500..=599 => Delivery::Later { after: retry_after(headers), why: format!("it answered {status}") },
        300..=399 => Delivery::never(format!("it answered {status} and sends us elsewhere: the URL must be that of the webhook itself")),
        _ => Delivery::never(format!("it answered {status}")),
    }
}

/// `Retry-After`, in seconds or as a time: that is counted by the clock of whoever says so.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let asked = text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let [until, now] = [asked, text(header::DATE)?.trim()].map(|time| rfc2822::parse(time).ok());
    Duration::try_from(until?.timestamp().duration_since(now?.timestamp())).ok()
}

/// What is said of a delivery that got no answer: words that hold nothing of the URL.
fn failed(fault: &ureq::Error, timeouts: Timeouts) -> Delivery {
    use ureq::{Error, Timeout};
    match fault {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => Delivery::later(format!("no connection within {:?}", timeouts.connect)),
        Error::Timeout(_) => Delivery::later(format!("no answer within {:?}", timeouts.whole)),
        Error::HostNotFound => Delivery::later("its host is not found"),
        Error::Io(fault) => Delivery::later(fault.to_string()),
        Error::Rustls(fault) => Delivery::later(format!("TLS: {fault}")),
        Error::Tls(fault) => Delivery::later(format!("TLS: {fault}")),
        Error::Protocol(_) => Delivery::later("what it answers is no HTTP"),
        Error::BadUri(_) | Error::Http(_) => Delivery::never("its URL cannot be used"),
        Error::InvalidProxyUrl => Delivery::never("the proxy of the environment cannot be used"),
        _ => Delivery::later("it could not be sent"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn answers_are_of_three_classes() {
        for status in 100..600 {
            let expected = match status {
                200..=299 => 'd',
                408 | 425 | 429 | 500..=599 => 'l',
                _ => 'n',
            };
            let found = match answered(status, &HeaderMap::new()) {
                Delivery::Done => 'd',
                Delivery::Later { after, .. } => {
                    if after.is_none() {
                        'l'
                    } else {
                        '?'
                    }
                }
                Delivery::Never { .. } => 'n',
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn how_long_to_wait_is_said_in_seconds_or_as_a_time() {
        let check = |lines: &[(&'static str, &str)], expected: Option<u64>| {
            assert_eq!(retry_after(&headers(lines)), expected.map(Duration::from_secs), "{lines:?}");
        };
        let date = ("date", "Tue, 05 May 2026 10:00:00 GMT");
        check(&[("retry-after", "120")], Some(120));
        check(&[("retry-after", "Tue, 05 May 2026 10:01:30 GMT"), date], Some(90));
        check(&[("retry-after", "Tue, 05 May 2026 09:01:30 GMT"), date], None);
        check(&[("retry-after", "Tue, 05 May 2026 10:01:30 GMT")], None);
        check(&[("retry-after", "soon"), date], None);
        check(&[("retry-after", "-5")], None);
        check(&[date], None);
    }
}

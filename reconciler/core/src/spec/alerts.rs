//! Meaning: who is told of what.

use std::collections::BTreeSet;

use ::url::Url;

use super::{
    file::{AlertEntry, AlertUrlEntry},
    resolve::{MINUTE, Resolver},
    url::{Piece, pieces},
};
use crate::agenda::alerts::{Event, Target, Webhook};

/// Hosts whose URLs are secrets from end to end: whoever has one can write there.
const SECRET_HOSTS: [&str; 4] = ["hooks.slack.com", "webhook.office.com", "logic.azure.com", "powerplatform.com"];

impl Resolver<'_> {
    pub(super) fn alerts(&mut self, entries: Vec<AlertEntry>) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let pointer = format!("/alerts/{index}");
            let target = Target {
                url: self.webhook(&format!("{pointer}/url"), entry.url),
                format: entry.format.unwrap_or_default(),
                on: entry.on.map_or_else(|| Event::ALL.into(), |on| on.into_iter().collect::<BTreeSet<_>>()),
                repeat: entry.repeat.map(|every| self.duration(&format!("{pointer}/repeat"), Some(&every), MINUTE, MINUTE)),
            };
            if targets.iter().any(|other| other.url == target.url) {
                self.fault(&pointer, "this webhook is there twice", Some("keep one of the two, with all that it is told of"));
            }
            targets.push(target);
        }
        targets
    }

    fn webhook(&mut self, pointer: &str, entry: AlertUrlEntry) -> Webhook {
        let url = match entry {
            AlertUrlEntry::Url(url) => url,
            AlertUrlEntry::Kept(kept) => {
                // What has a fault is of no use to anybody.
                return self
                    .secret_source(pointer, kept, "for example {env: SLACK_WEBHOOK}")
                    .map_or(Webhook::Url(String::new()), Webhook::Kept);
            }
        };
        let write_it = Some("write ${NAME}: letters, digits and _");
        match pieces(&url) {
            Err(_) => self.fault(pointer, "a ${ in the URL is not followed by a variable's name and }", write_it),
            Ok(parts) if matches!(parts.first(), Some(Piece::Variable(_))) => {}
            Ok(parts) => {
                // A digit fits wherever a variable may stand, a port included.
                let filled: String = parts.iter().map(|part| if let Piece::Text(text) = part { text } else { "1" }).collect();
                self.written_webhook(pointer, &filled, parts.len() > 1);
            }
        }
        Webhook::Url(url)
    }

    fn written_webhook(&mut self, pointer: &str, url: &str, has_variables: bool) {
        let Ok(url) = Url::parse(url) else {
            return self.fault(pointer, "this is no URL", Some("for example https://alerts.example.com/berqenas, or ${SLACK_WEBHOOK}"));
        };
        let host = url.host_str().unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            self.fault(pointer, "a webhook's URL begins with https:// or http://", None);
        }
        let is_secret = SECRET_HOSTS.iter().any(|known| host == *known || host.ends_with(&format!(".{known}")));
        if (url.password().is_some() || is_secret) && !has_variables {
            let hint = "specs are committed: write ${NAME} in its place, or {env: NAME}";
            self.fault(pointer, "the URL holds a secret", Some(hint));
        }
    }
}

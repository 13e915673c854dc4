//! An alert in the form that its target takes.

use serde_json::{Map, Value, json};

use super::{Alert, Event, Format};

/// The longest message that is sent, in characters: services refuse long ones.
const LONGEST: usize = 2000;

/// An alert, and what else is told with it.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// The sync.
    pub sync: &'a str,
    /// Its id in the spec.
    pub remote_db_id: i64,
    /// The generation of its spec.
    pub generation: &'a str,
    /// The revision of the source that the spec is from.
    pub revision: Option<&'a str>,
}

impl Notice<'_> {
    /// What is sent.
    #[must_use]
    pub fn payload(&self, format: Format) -> Value {
        match format {
            Format::Json => self.json(),
            Format::Slack => json!({ "text": self.slack() }),
            Format::Teams => self.teams(),
        }
    }

    fn json(&self) -> Value {
        let Alert { id, event, time, since, repeated, reason, conflicts, plan, .. } = self.alert;
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
        put("version", 1.into());
        put("event", event.as_str().into());
        put("sync", self.sync.into());
        put("remote_db_id", self.remote_db_id.into());
        put("id", id.as_str().into());
        put("time", time.to_string().into());
        put("since", since.to_string().into());
        put("repeated", (*repeated).into());
        put("reason", reason.as_str().into());
        put("message", self.message().into());
        put("generation", self.generation.into());
        let optional = [
            ("revision", self.revision.map(Value::from)),
            ("conflicts", conflicts.map(Value::from)),
            ("plan", plan.clone().map(Value::from)),
        ];
        fields.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        fields.into()
    }

    /// One line of what it is, and one of what was said.
    fn slack(&self) -> String {
        // All that Slack takes for markup in a text: https://docs.slack.dev/messaging/formatting-message-text
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let facts: Vec<String> = self.facts().into_iter().map(|(name, value)| format!("{name}: {}", escaped(&value))).collect();
        format!("{} *{}*: {}\n{}\n{}", self.sign(), escaped(self.sync), self.headline(), escaped(&self.message()), facts.join(" · "))
    }

    /// A card, as the trigger "when a Teams webhook request is received" takes it.
    fn teams(&self) -> Value {
        let colour = match self.alert.event {
            Event::Failure | Event::Overdue => "Attention",
            Event::Conflicts | Event::Held => "Warning",
            Event::Recovery => "Good",
        };
        let facts: Vec<Value> = self.facts().into_iter().map(|(name, value)| json!({ "title": name, "value": value })).collect();
        let headline = format!("{} {}: {}", self.sign(), self.sync, self.headline());
        json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        { "type": "TextBlock", "text": headline, "weight": "Bolder", "color": colour, "wrap": true },
                        { "type": "TextBlock", "text": self.message(), "wrap": true },
                        { "type": "FactSet", "facts": facts },
                    ],
                },
            }],
        })
    }

    fn sign(&self) -> &'static str {
        match self.alert.event {
            Event::Failure | Event::Overdue => "✗",
            Event::Conflicts | Event::Held => "!",
            Event::Recovery => "✓",
        }
    }

    fn headline(&self) -> &'static str {
        match (self.alert.event, self.alert.repeated) {
            (Event::Failure, false) => "the sync fails",
            (Event::Failure, true) => "the sync still fails",
            (Event::Conflicts, false) => "conflicts wait for a person",
            (Event::Conflicts, true) => "conflicts still wait for a person",
            (Event::Overdue, false) => "the sync is overdue",
            (Event::Overdue, true) => "the sync is still overdue",
            (Event::Recovery, _) => "the sync is well again",
            (Event::Held, false) => "a run waits for approval",
            (Event::Held, true) => "a run still waits for approval",
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let Alert { since, reason, plan, .. } = self.alert;
        let mut facts = vec![("reason", reason.clone()), ("since", since.to_string())];
        facts.extend(plan.as_ref().map(|plan| ("plan", plan.clone())));
        facts.extend(self.revision.map(|revision| ("revision", revision.to_owned())));
        facts
    }

    fn message(&self) -> String {
        let message = &self.alert.message;
        match message.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &message[..end]),
            None => message.clone(),
        }
    }
}

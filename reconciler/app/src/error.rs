//! The one error that leaves the engine: what kind it is, what happened, why, and what to do about it.
//!
//! Rooms inside have small error enums of their own; the engine turns them into an [`EngineError`] at its edge. Two maps hang on
//! [`ErrorKind`], each exhaustive and each in one place: [`ErrorKind::exit_code`] here, the HTTP status in the API.

use std::{error::Error, fmt};

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::engine::outcome::SpecFault;

/// What kind of error it is: what a program, or the shell, should make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command or the request makes no sense: an unknown sync, an unknown table, a wrong option.
    Usage,
    /// The specs have faults.
    InvalidSpec,
    /// It was tried and did not work.
    Failed,
    /// Another run of the same sync is under way.
    Busy,
    /// A saved plan no longer fits the databases.
    Stale,
    /// A safety limit, or a person's decision that is still open, keeps the run from going on.
    Held,
    /// It was asked to stop before it was done.
    Stopped,
}

impl ErrorKind {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Failed | ErrorKind::Busy | ErrorKind::Stopped => 1,
            ErrorKind::Usage | ErrorKind::InvalidSpec => 2,
            ErrorKind::Stale => 3,
            ErrorKind::Held => 4,
        }
    }
}

/// An error as it leaves the engine.
///
/// Its `Display` is the message alone; the causes are reached through [`Error::source`], so that nothing is said twice.
#[derive(Debug)]
pub struct EngineError {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// The error of a room below that this one is: its message is the message, its source the source.
    origin: Option<Box<dyn Error + Send + Sync>>,
    hints: Vec<String>,
    faults: Vec<SpecFault>,
}

impl EngineError {
    /// An error of a kind. The message says what happened, and to what; no final stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        EngineError { kind, message: message.into(), source: None, origin: None, hints: Vec::new(), faults: Vec::new() }
    }

    /// The error of a room below as it leaves the engine, saying what it says.
    pub(crate) fn of(kind: ErrorKind, origin: impl Error + Send + Sync + 'static) -> Self {
        let message = origin.to_string();
        EngineError { origin: Some(Box::new(origin)), ..EngineError::new(kind, message) }
    }

    /// The error of a room below that this one is, if it is of that kind.
    pub(crate) fn origin<E: Error + 'static>(&self) -> Option<&E> {
        self.origin.as_deref().and_then(|origin| origin.downcast_ref())
    }

    /// Specs that cannot be used: all their faults at once.
    #[must_use]
    pub fn invalid_specs(faults: Vec<SpecFault>) -> Self {
        let message = match faults.len() {
            1 => "the specs have a fault".to_owned(),
            many => format!("the specs have {many} faults"),
        };
        EngineError { faults, ..EngineError::new(ErrorKind::InvalidSpec, message) }
    }

    /// Files that cannot be used, called so: all their faults at once.
    #[must_use]
    pub(crate) fn faulty(files: &str, faults: Vec<SpecFault>) -> Self {
        EngineError { message: format!("{files} cannot be used as they are"), ..EngineError::invalid_specs(faults) }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a hint: what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says of which sync it is: hints that tell what to type name it.
    #[must_use]
    pub(crate) fn about(mut self, sync: &str) -> Self {
        for hint in &mut self.hints {
            *hint = hint.replace("NAME", sync);
        }
        self
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The hints, in the order they were given.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// For [`ErrorKind::InvalidSpec`], every fault that was found.
    #[must_use]
    pub fn faults(&self) -> &[SpecFault] {
        &self.faults
    }

    /// The message and its causes in one line, for logs and conditions.
    #[must_use]
    pub fn told(&self) -> String {
        [vec![self.to_string()], self.causes()].concat().join(": ")
    }

    /// The messages of the causes, nearest first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut cause = self.source();
        while let Some(error) = cause {
            messages.push(error.to_string());
            cause = error.source();
        }
        messages
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.source, &self.origin) {
            (Some(source), _) => Some(source.as_ref() as _),
            (None, Some(origin)) => origin.source(),
            (None, None) => None,
        }
    }
}

/// The form programs read: `{kind, message, causes, hints, faults}`.
impl Serialize for EngineError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = serializer.serialize_struct("EngineError", 5)?;
        form.serialize_field("kind", &self.kind)?;
        form.serialize_field("message", &self.message)?;
        form.serialize_field("causes", &self.causes())?;
        form.serialize_field("hints", &self.hints)?;
        form.serialize_field("faults", &self.faults)?;
        form.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_message_stands_alone_and_the_causes_follow() {
        let error = EngineError::new(ErrorKind::Failed, "cannot read specs").caused_by(std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "cannot read specs");
        assert_eq!(error.causes(), ["disk on fire"]);
        assert_eq!(error.told(), "cannot read specs: disk on fire");
    }

    #[test]
    fn programs_get_every_part() {
        let error = EngineError::new(ErrorKind::Stale, "3 rows moved").hint("plan again");
        let form = serde_json::to_string(&error).unwrap();
        assert_eq!(form, r#"{"kind":"stale","message":"3 rows moved","causes":[],"hints":["plan again"],"faults":[]}"#);
    }

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        let check = |kind: ErrorKind, code| assert_eq!(kind.exit_code(), code, "{kind:?}");
        check(ErrorKind::Failed, 1);
        check(ErrorKind::Busy, 1);
        check(ErrorKind::Stopped, 1);
        check(ErrorKind::Usage, 2);
        check(ErrorKind::InvalidSpec, 2);
        check(ErrorKind::Stale, 3);
        check(ErrorKind::Held, 4);
    }
}

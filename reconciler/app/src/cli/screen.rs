//! Standard output and standard error: the one place that writes to them.

use std::io::{self, IsTerminal as _, Write as _};

use clap::builder::styling::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::{
    engine::outcome::SpecFault,
    error::{EngineError, ErrorKind},
};

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    fn applies(self, terminal: bool) -> bool {
        match self {
            ColorChoice::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                terminal && !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// Puts colour on text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    /// No colour: what tests compare.
    #[cfg(test)]
    pub(super) const PLAIN: Paint = Paint { on: false };

    fn apply(self, style: Style, text: &str) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.apply(Style::new().bold(), text)
    }

    /// What matters less.
    pub(super) fn dim(self, text: &str) -> String {
        self.apply(Style::new().dimmed(), text)
    }

    /// Good, or new.
    pub(super) fn green(self, text: &str) -> String {
        self.apply(AnsiColor::Green.on_default(), text)
    }

    /// Worth a look, or changed.
    pub(super) fn yellow(self, text: &str) -> String {
        self.apply(AnsiColor::Yellow.on_default(), text)
    }

    /// Bad, or gone.
    pub(super) fn red(self, text: &str) -> String {
        self.apply(AnsiColor::Red.on_default().bold(), text)
    }
}

/// What renderings depend on besides their data.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Colour or none.
    pub(super) paint: Paint,
    /// The time now.
    pub(super) now: Timestamp,
    /// The zone in which times are shown.
    pub(super) zone: TimeZone,
}

#[cfg(test)]
impl Look {
    /// Plain text, on the day of the examples: 2026-01-14 15:32:00 UTC.
    #[allow(clippy::unwrap_used)]
    pub(super) fn plain() -> Look {
        Look { paint: Paint::PLAIN, now: "2026-01-14T15:32:00Z".parse().unwrap(), zone: TimeZone::UTC }
    }
}

/// Where a command prints.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    color: ColorChoice,
}

impl Screen {
    /// Prints JSON or text, in colour or not.
    pub(super) fn new(json: bool, color: ColorChoice) -> Screen {
        Screen { json, color }
    }

    /// Whether a program reads.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// What renderings depend on, as of now.
    pub(super) fn look(&self) -> Look {
        Look { paint: Paint { on: self.color.applies(io::stdout().is_terminal()) }, now: Timestamp::now(), zone: TimeZone::system() }
    }

    /// The answer: JSON for programs, else what `render` makes of it.
    pub(super) fn answer<T: Serialize + ?Sized>(&self, answer: &T, render: impl FnOnce(&Look) -> String) -> Result<(), EngineError> {
        if self.json { self.json(answer) } else { self.text(&render(&self.look())) }
    }

    /// Text to standard output.
    pub(super) fn text(&self, text: &str) -> Result<(), EngineError> {
        to_stdout(text.trim_end_matches('\n'))
    }

    /// JSON to standard output, whoever reads.
    pub(super) fn json<T: Serialize + ?Sized>(&self, answer: &T) -> Result<(), EngineError> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        match serde_json::to_writer_pretty(&mut stdout, answer) {
            Ok(()) => written(writeln!(stdout).and_then(|()| stdout.flush())),
            Err(fault) if fault.is_io() => written(Err(fault.into())),
            Err(fault) => Err(EngineError::new(ErrorKind::Failed, "cannot write the answer as JSON").caused_by(fault)),
        }
    }

    /// A line for people beside the answer, to standard error.
    pub(super) fn aside(&self, text: &str) {
        eprintln!("{text}");
    }

    /// A warning, to standard error.
    pub(super) fn warning(&self, text: &str) {
        eprintln!("{} {text}", self.paint_errors().yellow("warning:"));
    }

    /// An error: to standard error, and to standard output too where a program reads.
    pub(super) fn error(&self, error: &EngineError) {
        let paint = self.paint_errors();
        if self.json
            && let Err(unwritable) = self.json(&serde_json::json!({ "error": error }))
        {
            eprintln!("{}", render_error(&unwritable, paint));
        }
        eprintln!("{}", render_error(error, paint));
    }

    /// Whether what goes to standard error is in colour.
    pub(super) fn paints_errors(&self) -> bool {
        self.color.applies(io::stderr().is_terminal())
    }

    fn paint_errors(&self) -> Paint {
        Paint { on: self.paints_errors() }
    }
}

fn to_stdout(text: &str) -> Result<(), EngineError> {
    let mut stdout = io::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// A reader that has seen enough (`berqenas … | head`) is no failure.
fn written(result: io::Result<()>) -> Result<(), EngineError> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(EngineError::new(ErrorKind::Failed, "cannot write to standard output").caused_by(source))
        }
        _ => Ok(()),
    }
}

/// `error: …`, each cause, each fault of the specs, each hint: a line each.
fn render_error(error: &EngineError, paint: Paint) -> String {
    let mut lines = vec![format!("{} {error}", paint.red("error:"))];
    lines.extend(error.causes().iter().map(|cause| format!("{} {cause}", paint.bold("caused by:"))));
    lines.extend(error.faults().iter().map(|fault| render_fault(fault, paint)));
    lines.extend(error.hints().iter().map(|hint| format!("{} {hint}", paint.green("hint:"))));
    lines.join("\n")
}

/// `file:line:column: what is wrong`, and the hint on a line of its own: the form that editors make links of.
pub(super) fn render_fault(fault: &SpecFault, paint: Paint) -> String {
    let numbers = [fault.line, fault.column].into_iter().flatten().map(|number| format!(":{number}"));
    let place = format!("{}{}:", fault.file, numbers.collect::<String>());
    let mut text = format!("{} {}", paint.bold(&place), fault.message);
    if let Some(hint) = &fault.hint {
        text.push_str(&format!("\n  {} {hint}", paint.green("hint:")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_cause_and_remedy() {
        let error =
            EngineError::new(ErrorKind::Failed, "cannot reach local").caused_by(io::Error::other("connection refused")).hint("is it up?");
        let expected = "error: cannot reach local\ncaused by: connection refused\nhint: is it up?";
        assert_eq!(render_error(&error, Paint::PLAIN), expected);
    }

    #[test]
    fn faults_have_a_place_where_there_is_one() {
        let check = |line, column, hint: Option<&str>, expected: &str| {
            let fault = SpecFault { file: "specs/a.yaml".into(), line, column, message: "no such key".into(), hint: hint.map(Into::into) };
            assert_eq!(render_fault(&fault, Paint::PLAIN), expected);
        };
        check(Some(3), Some(7), Some("did you mean `name`?"), "specs/a.yaml:3:7: no such key\n  hint: did you mean `name`?");
        check(Some(3), None, None, "specs/a.yaml:3: no such key");
        check(None, None, None, "specs/a.yaml: no such key");
    }

    #[test]
    fn colour_only_where_asked_for() {
        assert_eq!(Paint { on: true }.green("x"), "\u{1b}[32mx\u{1b}[0m");
        assert!(ColorChoice::Always.applies(false));
        assert!(!ColorChoice::Never.applies(true));
        assert!(!ColorChoice::Auto.applies(false));
    }
}

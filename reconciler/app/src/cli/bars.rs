//! Progress on a terminal: one bar or one line, on standard error.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::signals;
use crate::engine::request::{Progress, Stop};

/// A bar for the table at work; silent where standard error is no terminal.
pub(super) struct Bars {
    bar: ProgressBar,
    verbose: bool,
}

impl Bars {
    /// With `verbose`, notes are printed too, on a terminal or not. Where a program reads, there is no bar.
    pub(super) fn new(json: bool, verbose: bool) -> Bars {
        let shown = !json && std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Bars { bar, verbose }
    }

    /// What ends the run when this process is asked to end, and tells so.
    pub(super) fn stop(&self) -> Stop {
        let bar = self.bar.clone();
        signals::stop(move |text| bar.suspend(|| eprintln!("{text}")))
    }

    fn style(template: &str) -> ProgressStyle {
        // The templates are those below; should one be wrong, the plain spinner does.
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
    }
}

impl Progress for Bars {
    fn table(&self, name: &str, total: Option<u64>) {
        self.bar.reset();
        match total {
            Some(total) => {
                self.bar.set_length(total);
                self.bar.set_style(Self::style("{msg:20} {bar:30} {human_pos}/{human_len} rows, {per_sec}, {eta} left"));
            }
            None => {
                self.bar.unset_length();
                self.bar.set_style(Self::style("{msg:20} {spinner} {human_pos} rows, {per_sec}"));
            }
        }
        self.bar.set_message(name.to_owned());
        if self.verbose {
            self.note(name);
        }
    }

    fn rows(&self, done: u64) {
        self.bar.set_position(done);
    }

    fn note(&self, text: &str) {
        if self.verbose {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// One line that turns, and tells what was last noted; silent where standard error is no terminal.
pub(super) struct Spinner {
    line: ProgressBar,
}

impl Spinner {
    /// Where a program reads, there is none.
    pub(super) fn new(json: bool) -> Spinner {
        const TURN: Duration = Duration::from_millis(120);
        let shown = !json && std::io::stderr().is_terminal();
        let line = if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        line.set_style(Bars::style("{spinner} {elapsed} {wide_msg}"));
        if shown {
            line.enable_steady_tick(TURN);
        }
        Spinner { line }
    }
}

impl Progress for Spinner {
    fn table(&self, name: &str, _total: Option<u64>) {
        self.note(name);
    }

    fn rows(&self, _done: u64) {}

    fn note(&self, text: &str) {
        self.line.set_message(text.to_owned());
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}

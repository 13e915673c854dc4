//! Windows: when runs may start. A run that has begun is let finish.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    BadSchedule, Window, WindowKind,
    schedule::{Ticks, earlier, later},
};

/// How many beginnings and ends of windows are looked at before a turn is called far off.
const MOST_EDGES: usize = 1_000;

/// The windows of a sync, ready to be asked.
#[derive(Clone, Debug)]
pub struct Windows(Vec<Span>);

#[derive(Clone, Debug)]
struct Span {
    kind: WindowKind,
    begins: Ticks,
    lasts: Duration,
}

/// When windows that are open close, or closed ones open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Then.
    At(Timestamp),
    /// Not before then; nobody looked further.
    NotBefore(Timestamp),
    /// Never.
    Never,
}

impl Turn {
    /// When to look again.
    #[must_use]
    pub fn look_again(self) -> Option<Timestamp> {
        match self {
            Turn::At(time) | Turn::NotBefore(time) => Some(time),
            Turn::Never => None,
        }
    }
}

impl Windows {
    /// Windows as specs give them.
    ///
    /// # Errors
    /// If an expression or a zone is none.
    pub fn new(windows: &[Window]) -> Result<Windows, BadSchedule> {
        let span =
            |window: &Window| Ok(Span { kind: window.kind, begins: Ticks::cron(&window.cron, &window.timezone)?, lasts: window.duration });
        windows.iter().map(span).collect::<Result<_, _>>().map(Windows)
    }

    /// Whether runs may start at a time: in no `deny`, and in an `allow` if there is any. A window holds its first moment, not its last.
    #[must_use]
    pub fn open(&self, time: Timestamp) -> bool {
        let of = |kind: WindowKind| self.0.iter().filter(move |span| span.kind == kind);
        let mut allows = of(WindowKind::Allow).peekable();
        (allows.peek().is_none() || allows.any(|span| span.holds(time))) && !of(WindowKind::Deny).any(|span| span.holds(time))
    }

    /// When that next changes.
    #[must_use]
    pub fn turn(&self, time: Timestamp) -> Turn {
        let open = self.open(time);
        let mut edge = time;
        for _ in 0..MOST_EDGES {
            let Some(next) = self.0.iter().flat_map(|span| span.edges(edge)).flatten().min() else { return Turn::Never };
            if self.open(next) != open {
                return Turn::At(next);
            }
            edge = next;
        }
        Turn::NotBefore(edge)
    }

    /// The first time, from one on, at which runs may start, as far as it can be told.
    #[must_use]
    pub fn open_from(&self, time: Timestamp) -> Option<Timestamp> {
        if self.open(time) { Some(time) } else { self.turn(time).look_again() }
    }
}

impl Span {
    /// The first beginning whose window has not ended at a time.
    fn unfinished(&self, time: Timestamp) -> Option<Timestamp> {
        self.begins.after(earlier(time, self.lasts)?)
    }

    fn holds(&self, time: Timestamp) -> bool {
        self.unfinished(time).is_some_and(|begin| begin <= time)
    }

    /// The next beginning and the next end after a time.
    fn edges(&self, time: Timestamp) -> [Option<Timestamp>; 2] {
        [self.begins.after(time), self.unfinished(time).and_then(|begin| later(begin, self.lasts))]
    }
}

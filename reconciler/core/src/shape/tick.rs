//! Ticks: the steps that a column's times go in.

/// The shortest step of time that a column tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tick {
    /// So many digits of the second's fraction, 9 at most.
    Digits(u8),
    /// A three-hundredth of a second, shown as milliseconds that end in 0, 3 or 7: `datetime` of SQL Server.
    ThreeHundredth,
    /// A minute: `smalldatetime` of SQL Server.
    Minute,
}

impl Tick {
    /// The shortest time in nanoseconds that is a whole number of ticks: one tick, but for three-hundredths of a second three.
    #[must_use]
    pub fn whole_nanos(self) -> i64 {
        match self {
            Tick::Digits(digits) => 10i64.pow(9 - u32::from(digits.min(9))),
            Tick::ThreeHundredth => 10_000_000,
            Tick::Minute => 60_000_000_000,
        }
    }

    /// The same in microseconds, and 1 where ticks are shorter.
    #[must_use]
    pub fn whole_micros(self) -> i64 {
        (self.whole_nanos() / 1_000).max(1)
    }

    /// Digits of the second's fraction under which the times are shown.
    #[must_use]
    pub fn digits(self) -> u8 {
        match self {
            Tick::Digits(digits) => digits,
            Tick::ThreeHundredth => 3,
            Tick::Minute => 0,
        }
    }

    /// The longer of two ticks: times at it can be told by columns of either.
    #[must_use]
    pub fn coarser(self, other: Tick) -> Tick {
        if self.is_coarser_than(other) { self } else { other }
    }

    /// Whether its steps are longer.
    #[must_use]
    pub fn is_coarser_than(self, other: Tick) -> bool {
        self.thirds_of_nanos() > other.thirds_of_nanos()
    }

    /// One tick, in a unit that divides all of them.
    fn thirds_of_nanos(self) -> i64 {
        match self {
            Tick::ThreeHundredth => self.whole_nanos(),
            Tick::Digits(_) | Tick::Minute => self.whole_nanos() * 3,
        }
    }
}

//! The end of a run: marks move, then both sides and the state record it.

use berqenas_core::{
    rules::{Rule, holds},
    shape::Tick,
    value::{Pair, Side},
};

use super::Run;
use crate::{
    endpoint::Floor,
    engine::{reading::state_version, request::Step as Boundary},
    error::EngineError,
    state::{SideState, TableProgress, TableState},
};

impl Run<'_> {
    /// Everything under the new marks is applied, parked, quarantined or pending, on disk.
    pub(super) async fn move_marks(&mut self, read: Vec<(Option<TableState>, bool)>) -> Result<(), EngineError> {
        let mut progress = Vec::with_capacity(read.len());
        let tables = self.context.session.tables.iter().zip(&self.readings.versions);
        for ((table, versions), (known, full)) in tables.zip(read) {
            let known_marks = self.context.state.marks(self.sync(), &table.spec.name).await?;
            let mut marks = Pair::new(None, None);
            for side in Side::BOTH {
                let late;
                let floor = if holds(Rule::FloorBeforeRows) {
                    self.readings.floors.get(side)
                } else {
                    late = self.context.session.endpoints.get(side).floor().await?;
                    &late
                };
                let by_time = || next_mark(*known_marks.get(side), floor, *table.mapping.stamp_ticks.get(side), full);
                // A count of changes is exact, and knows no clocks.
                *marks.get_mut(side) = versions.get(side).map_or_else(by_time, |versions| Some(versions.reached));
            }
            let known = TableState {
                adopted: true,
                mapping_version: state_version(self.context.session, table),
                columns: table.mapping.columns_for_state(),
                last_full: if full { Some(self.now()) } else { known.and_then(|known| known.last_full) },
            };
            progress.push(TableProgress { table: table.spec.name.clone(), marks, known });
        }
        Ok(self.context.state.set_progress(self.context.lease, &progress).await?)
    }

    /// Records the end of the run: the state's intent first, then both sides, then the state.
    pub(super) async fn end(&mut self) -> Result<(), EngineError> {
        let context = self.context;
        let last = |side: Side| self.readings.sides.get(side).as_ref().map_or(0, |known| known.epoch.max(known.pending_epoch.unwrap_or(0)));
        let next = last(Side::Cloud).max(last(Side::Local)) + 1;
        let side_state = |side: Side, epoch: i64, pending_epoch: Option<i64>| SideState {
            database_id: self.readings.database_ids.get(side).clone(),
            epoch,
            pending_epoch,
            clock: self.readings.floors.get(side).clock,
            our_clock: *self.readings.read_at.get(side),
        };
        if self.fenced {
            let about_to = |side: Side| side_state(side, *self.recorded.get(side), Some(next));
            context.state.set_sides(context.lease, &Pair::new(about_to(Side::Cloud), about_to(Side::Local))).await?;
            for side in Side::BOTH {
                context.session.endpoints.get(side).record_end(self.sync(), context.lease.token, next).await?;
                context.progress.step(Boundary::EndRecorded(side));
            }
        }
        let ended = |side: Side| {
            // A run with nothing to do leaves it open whether an earlier one, cut off here, reached the side with its end.
            let left_open = || self.readings.sides.get(side).as_ref().and_then(|known| known.pending_epoch);
            let (epoch, pending) = if self.fenced { (next, None) } else { (*self.recorded.get(side), left_open()) };
            side_state(side, epoch, pending)
        };
        Ok(context.state.set_sides(context.lease, &Pair::new(ended(Side::Cloud), ended(Side::Local))).await?)
    }
}

/// Where a side of a table is read from next time: its floor, rounded down to one tick of the column. While a prepared transaction
/// exists the mark stays.
fn next_mark(old: Option<i64>, floor: &Floor, tick: Tick, full: bool) -> Option<i64> {
    let tick = if holds(Rule::MarksRoundedDown) { tick.whole_micros() } else { 1 };
    let reached = floor.floor.div_euclid(tick) * tick;
    match old {
        old if floor.frozen => old,
        Some(old) if !full => Some(old.max(reached)),
        _ => Some(reached),
    }
}

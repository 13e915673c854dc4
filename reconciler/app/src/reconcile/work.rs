//! Work: the runs under way, a bounded number at a time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use berqenas_core::agenda::{Pass, Why};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
};

use super::Signal;
use crate::{
    engine::{
        Engine,
        live::LiveSync,
        request::{Cause, Stop, Urgency},
    },
    error::EngineError,
};

/// Beyond the grace: how long a run that was told to end at once is waited for.
const LAST: Duration = Duration::from_secs(5);

/// A run that has ended: the sync, and how.
pub(super) type Ended = (String, Result<(), EngineError>);

/// The runs under way.
pub(super) struct Work {
    runs: JoinSet<Ended>,
    /// Which sync a task runs: one that panics cannot tell.
    names: HashMap<Id, String>,
    stop: Stop,
    most: usize,
}

impl Work {
    /// None yet, and at most so many at a time.
    pub(super) fn new(most: usize) -> Work {
        Work { runs: JoinSet::new(), names: HashMap::new(), stop: Stop::default(), most: most.max(1) }
    }

    /// Whether another one may begin.
    pub(super) fn has_room(&self) -> bool {
        self.runs.len() < self.most
    }

    /// How many there are.
    pub(super) fn under_way(&self) -> usize {
        self.runs.len()
    }

    /// Begins a run of a sync by the spec that is in force now.
    pub(super) fn begin(&mut self, engine: Arc<Engine>, sync: &LiveSync, pass: Pass, why: Why) {
        let name = sync.spec.spec.name.clone();
        let revision = sync.revision.clone();
        let stop = self.stop.clone();
        let cause = match why {
            Why::Request => Cause::Request,
            Why::NewGeneration => Cause::Spec,
            Why::Retry => Cause::Retry,
            Why::Tick => Cause::Schedule,
        };
        let run = {
            let name = name.clone();
            async move {
                let result = Box::pin(engine.reconcile(&name, pass, cause, revision, &stop)).await;
                (name, result)
            }
        };
        let id = self.runs.spawn(run).id();
        self.names.insert(id, name);
    }

    /// Waits for the next run to end; never, while there is none.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        if self.runs.is_empty() {
            std::future::pending::<()>().await;
        }
        match self.runs.join_next_with_id().await? {
            Ok((id, ended)) => {
                self.names.remove(&id);
                Some(ended)
            }
            Err(fault) => {
                let name = self.names.remove(&fault.id())?;
                let what = format!("the run of sync {name} broke down: this is a defect of the program, please report it");
                tracing::error!(sync = name, "{what}: {fault}");
                Some((name, Err(EngineError::failed(what).caused_by(fault))))
            }
        }
    }

    /// Has all runs come to the end of their batches; after the grace, or when asked again, wherever they are.
    pub(super) async fn wind_down(&mut self, mut signals: mpsc::Receiver<Signal>, grace: Duration) {
        self.stop.ask(Urgency::AtBoundary);
        let all = async |work: &mut Work| while !work.runs.is_empty() && work.ended().await.is_some() {};
        let again = async {
            loop {
                match signals.recv().await {
                    Some(Signal::Reload) => {}
                    Some(Signal::Stop) => return,
                    None => std::future::pending::<()>().await,
                }
            }
        };
        tokio::select! {
            () = all(self) => return,
            () = tokio::time::sleep(grace) => {}
            () = again => {}
        }
        tracing::warn!(runs = self.runs.len(), "the grace is over: what is not committed is rolled back");
        self.stop.ask(Urgency::AtOnce);
        if tokio::time::timeout(LAST, all(self)).await.is_err() {
            tracing::warn!(runs = self.runs.len(), "runs that do not end are left behind: the next ones put right what they leave");
            self.runs.abort_all();
        }
    }
}

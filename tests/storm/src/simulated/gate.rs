//! The gate: every call of a run to a database stops here, until the script says that it goes on.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::future::BoxFuture;

use super::Time;
use crate::sim::{Call, CallPoint, Fault, Hook, When};

/// What one run waits at.
#[derive(Debug)]
pub(super) struct Gate {
    time: Arc<Time>,
    /// Nobody stops here: the run goes through to its end.
    open: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Calls that wait, the first to come first.
    waiting: VecDeque<Arc<Ticket>>,
    /// A cut that is due: before or after the effect of a call.
    cut: Option<When>,
}

/// One call that waits.
#[derive(Debug)]
struct Ticket {
    when: When,
    answer: Mutex<Option<Fault>>,
}

/// A call passes: so much time, in microseconds.
const CALL_US: i64 = 700;

impl Gate {
    /// A gate at which every call waits.
    pub(super) fn closed(time: Arc<Time>) -> Gate {
        Gate { time, open: false, inner: Mutex::default() }
    }

    /// A gate that lets everything through.
    pub(super) fn open(time: Arc<Time>) -> Gate {
        Gate { time, open: true, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call that fits is cut off.
    pub(super) fn cut(&self, when: When) {
        self.inner().cut = Some(when);
    }

    /// Whether a call waits.
    pub(super) fn has_caller(&self) -> bool {
        !self.inner().waiting.is_empty()
    }

    /// The first call goes on.
    pub(super) fn let_one_pass(&self) {
        let mut inner = self.inner();
        let Some(ticket) = inner.waiting.pop_front() else { return };
        let fault = match inner.cut {
            Some(when) if when == ticket.when || when == When::Before && ticket.when == When::Amid => {
                inner.cut = None;
                Fault::Cut
            }
            _ => Fault::None,
        };
        *ticket.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    fn stand(&self, when: When) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket { when, answer: Mutex::new(None) });
        self.inner().waiting.push_back(Arc::clone(&ticket));
        ticket
    }

    /// A pause of the run: it waits as a call does.
    pub(super) fn pause(&self) -> BoxFuture<'_, Fault> {
        self.wait(When::Before)
    }

    fn wait(&self, when: When) -> BoxFuture<'_, Fault> {
        self.time.pass(CALL_US);
        if self.open {
            return Box::pin(std::future::ready(Fault::None));
        }
        Box::pin(Waiting(self.stand(when)))
    }
}

impl Hook for Gate {
    fn reach(&self, point: CallPoint) -> BoxFuture<'_, Fault> {
        // Nothing depends on when a table is described: no need to stop there.
        if matches!(point.call, Call::Connect | Call::Tables | Call::Describe | Call::Close) {
            return Box::pin(std::future::ready(Fault::None));
        }
        self.wait(point.when)
    }
}

/// Waits for the script. Nobody has to wake it: whoever lets it pass polls the run next.
struct Waiting(Arc<Ticket>);

impl Future for Waiting {
    type Output = Fault;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Fault> {
        match self.0.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(fault) => Poll::Ready(fault),
            None => Poll::Pending,
        }
    }
}

//! Moments that a task of a worker waits for, rung by the worker's own loop: the runtime's timers fire
//! only when nothing else runs, so on a busy worker they would never do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::Waker;

use crate::model::Mono;

#[derive(Default)]
pub(super) struct Alarms {
    /// As many as there are tasks that wait.
    set: RefCell<BTreeMap<(Mono, u64), Waker>>,
    next: Cell<u64>,
}

/// Set until it is rung or dropped.
pub(super) struct Alarm<'a> {
    alarms: &'a Alarms,
    key: (Mono, u64),
}

impl Alarms {
    /// Wakes `waker` at `at`.
    pub(super) fn set(&self, at: Mono, waker: Waker) -> Alarm<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        self.set.borrow_mut().insert((at, number), waker);
        Alarm { alarms: self, key: (at, number) }
    }

    pub(super) fn ring(&self, now: Mono) {
        loop {
            let mut set = self.set.borrow_mut();
            let Some(first) = set.first_entry().filter(|first| first.key().0 <= now) else { return };
            let waker = first.remove();
            drop(set);
            waker.wake();
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.alarms.set.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn each_rings_once_in_its_time() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let alarms = Alarms::default();
        let set = |at| alarms.set(Mono(at), Arc::clone(&count).into());
        let kept = [set(10), set(10), set(20)];
        drop(set(5));
        for (now, rung) in [(9, 0), (10, 2), (11, 2), (20, 3), (99, 3)] {
            alarms.ring(Mono(now));
            assert_eq!(count.0.load(Ordering::SeqCst), rung, "at {now}");
        }
        drop(kept);
    }
}

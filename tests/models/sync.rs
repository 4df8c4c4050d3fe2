//! Loom's parts for the mailbox. A queue that others wrote is a locked list; that of commits has room for one.

use std::collections::VecDeque;
use std::task::Waker;

use loom::sync::atomic;
pub use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Mutex, MutexGuard};

/// Commits that wait at most, whatever the mailbox asks for.
const ROOM: usize = 1;

/// Loom takes `SeqCst` for `AcqRel`, and then lets a swap read past a store that came before it. Accesses that
/// ask for the one order of all take turns here, so that they have one.
pub struct AtomicBool {
    value: atomic::AtomicBool,
    order: Mutex<()>,
}

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        Self { value: atomic::AtomicBool::new(value), order: Mutex::new(()) }
    }

    fn turn(&self, order: Ordering) -> Option<MutexGuard<'_, ()>> {
        (order == Ordering::SeqCst).then(|| self.order.lock().unwrap())
    }

    pub fn load(&self, order: Ordering) -> bool {
        let _turn = self.turn(order);
        self.value.load(order)
    }

    pub fn store(&self, value: bool, order: Ordering) {
        let _turn = self.turn(order);
        self.value.store(value, order);
    }

    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        let _turn = self.turn(order);
        self.value.swap(value, order)
    }
}

pub struct SegQueue<T>(Mutex<VecDeque<T>>);

impl<T> SegQueue<T> {
    pub fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    pub fn push(&self, item: T) {
        self.0.lock().unwrap().push_back(item);
    }

    pub fn pop(&self) -> Option<T> {
        self.0.lock().unwrap().pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

pub struct ArrayQueue<T>(SegQueue<T>);

impl<T> ArrayQueue<T> {
    pub fn new(_: usize) -> Self {
        Self(SegQueue::new())
    }

    pub fn push(&self, item: T) -> Result<(), T> {
        let mut items = self.0.0.lock().unwrap();
        if items.len() >= ROOM {
            return Err(item);
        }
        items.push_back(item);
        Ok(())
    }

    pub fn pop(&self) -> Option<T> {
        self.0.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub struct AtomicWaker(loom::future::AtomicWaker);

impl AtomicWaker {
    pub fn new() -> Self {
        Self(loom::future::AtomicWaker::new())
    }

    pub fn register(&self, waker: &Waker) {
        self.0.register_by_ref(waker);
    }

    pub fn wake(&self) {
        self.0.wake();
    }
}

//! What threads are made of: the system's.

use std::future::Future;
use std::pin::Pin;
pub use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar};
pub use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Wake};
pub use std::thread;

/// Times that each is run; under Miri its own seeds are what varies.
const TIMES: usize = if cfg!(miri) { 1 } else { 200 };

pub fn check(model: impl Fn() + Sync + Send + 'static) {
    (0..TIMES).for_each(|_| model());
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    rings: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.rings.notify_one();
    }
}

pub fn block_on<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let bell = Arc::new(Bell::default());
    let waker = Arc::clone(&bell).into();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut rung = bell.rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = bell.rings.wait(rung).unwrap();
        }
    }
}

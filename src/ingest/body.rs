//! Reading a request's body within bounds: of its own size, of time, and of all bodies together.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::answer::{Problem, ProblemKind};
use super::request::too_large;

/// What is taken for a body at once on its sender's word alone; the rest grows with what comes.
const FIRST_ROOM_MAX: u64 = 256 << 10;
/// How long what is not wanted is still read, so that a client that writes first and reads afterwards
/// sees the answer rather than a broken pipe.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes of all bodies that are being read, or parsed, at the same time.
#[derive(Clone)]
pub struct ReadBudget {
    used: Rc<Cell<usize>>,
    max: usize,
}

impl ReadBudget {
    pub fn new(max: usize) -> Self {
        Self { used: Rc::new(Cell::new(0)), max }
    }

    fn share(&self) -> Share {
        Share { budget: self.clone(), taken: 0 }
    }
}

/// What one body has taken of the budget. Given back when dropped.
pub struct Share {
    budget: ReadBudget,
    taken: usize,
}

impl Share {
    fn take(&mut self, bytes: usize) -> bool {
        let used = self.budget.used.get().saturating_add(bytes);
        if used > self.budget.max {
            return false;
        }
        self.budget.used.set(used);
        self.taken += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.set(self.budget.used.get().saturating_sub(self.taken));
    }
}

/// What a body may take.
#[derive(Clone, Copy)]
pub struct BodyLimits {
    pub size_max: usize,
    pub time_max: Duration,
}

/// The whole body.
///
/// # Errors
/// It is too large (told by its announced length before any of it is read), too slow, broken off, or
/// there is no room for it beside the others that are being read.
pub async fn read(
    body: &mut Incoming,
    limits: BodyLimits,
    budget: &ReadBudget,
) -> Result<(Bytes, Share), Problem> {
    if body.size_hint().lower() > u64::try_from(limits.size_max).unwrap_or(u64::MAX) {
        return Err(too_large(limits.size_max));
    }
    let collected = collect(body, limits.size_max, budget.share());
    monoio::time::timeout(limits.time_max, collected).await.unwrap_or_else(|_| {
        let detail = format!("the body did not come within {} s", limits.time_max.as_secs_f32());
        Err(Problem::new(ProblemKind::BodyTimeout, detail))
    })
}

async fn collect(body: &mut Incoming, size_max: usize, mut share: Share) -> Result<(Bytes, Share), Problem> {
    let room = usize::try_from(body.size_hint().lower().min(FIRST_ROOM_MAX)).unwrap_or_default();
    let mut whole = Chunks::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::new(ProblemKind::BodyIncomplete, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > size_max {
            return Err(too_large(size_max));
        }
        if !share.take(data.len()) {
            let detail = "too much is being read from other connections";
            return Err(Problem::new(ProblemKind::QueueFull, detail));
        }
        whole.push(data, room);
    }
    Ok((whole.into_bytes(), share))
}

/// One chunk is kept as it is; more are put together.
#[derive(Default)]
struct Chunks {
    first: Bytes,
    all: Vec<u8>,
}

impl Chunks {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn push(&mut self, data: Bytes, room: usize) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(room.max(self.first.len() + data.len()));
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { Bytes::from(self.all) }
    }
}

/// Reads and forgets what is left of a body, up to `size_max` bytes. Where there is more, the connection
/// ends after the answer.
pub async fn drain(body: &mut Incoming, size_max: u64) {
    if body.size_hint().lower() > size_max {
        return;
    }
    let all = async {
        let mut left = size_max;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
                Some(still) => left = still,
                None => break,
            }
        }
    };
    // Running out of time is one of the two ordinary ends.
    let _ = monoio::time::timeout(DRAIN_TIME_MAX, all).await;
}

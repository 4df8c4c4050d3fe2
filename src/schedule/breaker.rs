//! The circuit breaker of one host: whether it may be sent to, and how much at once.
//!
//! Closed, it counts what comes of requests in a rolling window; at `failure_ratio` of at least
//! `min_requests` it opens and nothing is sent for a while. Then it is half-open: one request at a time
//! tries the host (a probe). A probe that fails opens it again for twice as long; one that succeeds
//! closes it, and a slow start lets the requests in flight grow by one with each success, so that a
//! receiver that has just come up is not knocked down by its own backlog. While it grows a failure
//! halves what is allowed, and at one it opens again, still doubling: a host that flaps is left alone for longer
//! each time, one that fails a little gets up to speed all the same. It is trusted again once it has been closed
//! for a window.
//!
//! Each change of state begins a new generation. A request counts only in the generation it was started
//! in: one that began before the breaker opened says nothing about the host after it, and is no probe.
//!
//! Deliberately absent: a clock and chance. The time is told; the jitter is a hash of host and generation.

use std::time::Duration;

pub use crate::model::BreakerState;
use crate::model::{ErrorKind, Mono, Outcome};

/// Parts of the rolling window: what is older than the window is forgotten a tenth of it at a time.
const BUCKETS: usize = 10;
/// Doublings of the open time that are counted at most; `open_max` is reached long before.
const DOUBLINGS_MAX: u8 = 32;
/// Requests at once after the first probe succeeded.
const SLOW_START: u32 = 2;
/// Requests at once at which a slow start is over, where the host gets so many.
const FULL_SPEED: u32 = 64;

/// When a breaker opens and for how long (`[breaker]`).
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    pub window: Duration,
    pub min_requests: u32,
    /// Above 0, at most 1.
    pub failure_ratio: f64,
    pub open: Duration,
    pub open_max: Duration,
}

/// What an attempt says about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answers.
    Well,
    /// It does not, or says itself that it is broken.
    Ill(Fault),
    /// It was not asked.
    Nothing,
}

/// What was wrong: for the breaker all faults are the same, for people they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: ErrorKind,
    pub status: Option<u16>,
}

/// 5xx and everything that ended without an answer is a fault of the host. 429 and all other answers are
/// not: the host is there and has its say. What the egress rules forbid never reached it.
#[must_use]
pub fn sign(outcome: &Outcome) -> Sign {
    let Some(error) = &outcome.error else { return Sign::Well };
    let ill = Sign::Ill(Fault { kind: error.kind, status: outcome.status });
    match error.kind {
        ErrorKind::Egress => Sign::Nothing,
        ErrorKind::Gone => Sign::Well,
        ErrorKind::Status if outcome.status.is_some_and(|status| status < 500) => Sign::Well,
        ErrorKind::Dns
        | ErrorKind::Connect
        | ErrorKind::Tls
        | ErrorKind::Timeout
        | ErrorKind::Reset
        | ErrorKind::Protocol
        | ErrorKind::Status => ill,
    }
}

/// Why a breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Too many failed; the last of them by this fault.
    Failing {
        failed: u32,
        requests: u32,
        last: Fault,
    },
    /// It had opened before, and had not got up to speed again when this came.
    FailedAgain(Fault),
    /// The open time is over.
    Waited,
    /// Nobody sends to the host any more.
    Forgotten,
    Succeeded,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub to: BreakerState,
    pub why: Why,
    /// How long nothing is sent, where it opened.
    pub open_for: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    requests: u32,
    failed: u32,
}

#[derive(Clone, Debug, Default)]
struct Window {
    buckets: [Bucket; BUCKETS],
    /// Number of the newest bucket since the clock's origin.
    newest: u64,
}

impl Window {
    fn note(&mut self, width: u64, now: Mono, failed: bool) {
        let number = now.0 / width.max(1);
        let behind = number.saturating_sub(self.newest);
        for old in 1..=behind.min(BUCKETS as u64) {
            *self.bucket(self.newest + old) = Bucket::default();
        }
        self.newest = self.newest.max(number);
        let bucket = self.bucket(number);
        bucket.requests = bucket.requests.saturating_add(1);
        bucket.failed = bucket.failed.saturating_add(u32::from(failed));
    }

    fn bucket(&mut self, number: u64) -> &mut Bucket {
        let [first, rest @ ..] = &mut self.buckets;
        match usize::try_from(number % BUCKETS as u64).ok().and_then(|at| at.checked_sub(1)) {
            Some(at) => rest.get_mut(at).unwrap_or(first),
            None => first,
        }
    }

    /// Requests and how many of them failed, as of the last note.
    fn sum(&self) -> (u32, u32) {
        let add = |(requests, failed): (u32, u32), bucket: &Bucket| {
            (requests.saturating_add(bucket.requests), failed.saturating_add(bucket.failed))
        };
        self.buckets.iter().fold((0, 0), add)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    /// Closed, but only so many requests at once.
    SlowStart(u32),
    Open {
        until: Mono,
    },
    HalfOpen,
}

/// The generation in which a request was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(u32);

#[derive(Clone, Debug)]
pub struct Breaker {
    phase: Phase,
    generation: Generation,
    /// Requests of this generation under way.
    in_flight: u32,
    /// How often the open time has been doubled.
    doublings: u8,
    /// A window after it closed last: if it opens before that, the time doubles again, however few requests
    /// at once are full speed.
    on_trial_until: Mono,
    window: Window,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            phase: Phase::Closed,
            generation: Generation(0),
            in_flight: 0,
            doublings: 0,
            on_trial_until: Mono(0),
            window: Window::default(),
        }
    }
}

impl Breaker {
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed | Phase::SlowStart(_) => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// When [`Breaker::handle_timeout`] has to be called.
    #[must_use]
    pub fn next_wake(&self) -> Option<Mono> {
        if let Phase::Open { until } = self.phase { Some(until) } else { None }
    }

    /// Whether one more request may be started.
    #[must_use]
    pub fn may_start(&self) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::SlowStart(allowed) => self.in_flight < allowed,
            Phase::HalfOpen => self.in_flight == 0,
            Phase::Open { .. } => false,
        }
    }

    /// A request is started; what is given back comes with its outcome.
    pub fn started(&mut self) -> Generation {
        self.in_flight += 1;
        self.generation
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) -> Option<Transition> {
        let Phase::Open { until } = self.phase else { return None };
        (now >= until).then(|| {
            self.enter(Phase::HalfOpen);
            Transition { to: BreakerState::HalfOpen, why: Why::Waited, open_for: Duration::ZERO }
        })
    }

    /// A request that was started in `generation` ended. `host` is a hash of the host's name; `cap` is
    /// how many requests it gets at full speed.
    pub fn ended(
        &mut self,
        policy: &BreakerPolicy,
        now: Mono,
        host: u64,
        generation: Generation,
        sign: Sign,
        cap: u32,
    ) -> Option<Transition> {
        if generation != self.generation {
            return None;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let fault = match sign {
            Sign::Nothing => return None,
            Sign::Well => None,
            Sign::Ill(fault) => Some(fault),
        };
        let width = u64::try_from(policy.window.as_nanos()).unwrap_or(u64::MAX) / BUCKETS as u64;
        self.window.note(width, now, fault.is_some());
        if self.phase == Phase::Closed && now >= self.on_trial_until {
            self.doublings = 0;
        }
        match (self.phase, fault) {
            (Phase::Closed | Phase::Open { .. }, None) => None,
            (Phase::SlowStart(allowed), None) => {
                self.speed_up(allowed + 1, cap);
                None
            }
            (Phase::HalfOpen, None) => {
                self.window = Window::default();
                self.on_trial_until = now + policy.window;
                self.enter(Phase::SlowStart(SLOW_START));
                self.speed_up(SLOW_START, cap);
                Some(Transition { to: BreakerState::Closed, why: Why::Succeeded, open_for: Duration::ZERO })
            }
            (Phase::HalfOpen | Phase::SlowStart(..=1), Some(fault)) => {
                self.double();
                Some(self.open(policy, now, host, Why::FailedAgain(fault)))
            }
            (Phase::SlowStart(allowed), Some(fault)) => {
                self.phase = Phase::SlowStart(allowed / 2);
                let why = self.failing(policy, fault)?;
                self.double();
                Some(self.open(policy, now, host, why))
            }
            (Phase::Closed | Phase::Open { .. }, Some(fault)) => {
                let why = self.failing(policy, fault)?;
                if now < self.on_trial_until {
                    self.double();
                }
                Some(self.open(policy, now, host, why))
            }
        }
    }

    fn double(&mut self) {
        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = Generation(self.generation.0.wrapping_add(1));
        self.in_flight = 0;
    }

    fn speed_up(&mut self, allowed: u32, cap: u32) {
        if allowed >= cap.min(FULL_SPEED) {
            // The generation goes on: what is under way counts as before.
            self.phase = Phase::Closed;
        } else {
            self.phase = Phase::SlowStart(allowed);
        }
    }

    fn failing(&self, policy: &BreakerPolicy, last: Fault) -> Option<Why> {
        let (requests, failed) = self.window.sum();
        let too_many = f64::from(failed) >= f64::from(requests) * policy.failure_ratio;
        (requests >= policy.min_requests && too_many).then_some(Why::Failing { failed, requests, last })
    }

    fn open(&mut self, policy: &BreakerPolicy, now: Mono, host: u64, why: Why) -> Transition {
        let open_for = open_time(policy, self.doublings, host, self.generation);
        self.enter(Phase::Open { until: now + open_for });
        Transition { to: BreakerState::Open, why, open_for }
    }
}

/// `open` doubled so many times and a little longer, so that hosts which went down together are not all
/// tried at one moment; `open_max` at most, and then a little shorter.
fn open_time(policy: &BreakerPolicy, doublings: u8, host: u64, generation: Generation) -> Duration {
    let base = policy.open.saturating_mul(1_u32.checked_shl(doublings.into()).unwrap_or(u32::MAX));
    let base = base.min(policy.open_max);
    // A multiplicative hash (Knuth, 6.4): its high bits are even enough to spread hosts.
    let mixed = (host ^ u64::from(generation.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    let jitter = base / 10 * u32::try_from(mixed).unwrap_or(0) / 1024;
    let longer = base + jitter;
    if longer <= policy.open_max { longer } else { base.saturating_sub(jitter) }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;

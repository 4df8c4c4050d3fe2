//! What must hold of limits: never more in flight than allowed, never faster than the rate, and an open
//! breaker lets nothing through but a probe at a time. It sees requests and outcomes, and what the shard
//! says of its breakers, and counts for itself.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use postrider::model::SubscriptionKey;
use postrider::schedule::breaker::{BreakerPolicy, Sign, Transition, Why};
use postrider::schedule::{BreakerState, FlightId};

pub const BREAKER: BreakerPolicy = BreakerPolicy {
    window: Duration::from_secs(2),
    min_requests: 4,
    failure_ratio: 0.5,
    open: Duration::from_millis(200),
    open_max: Duration::from_secs(3),
};
/// Bytes in flight of one worker, and what one event may have more.
pub const IN_FLIGHT_BYTES_MAX: usize = 10_000;
const BODY_MAX: usize = 3100;
/// A worker wakes a little late at worst.
const LATE_MS: u64 = 10;

/// A host as one worker sees it.
type Place = (usize, u64);

/// Times at which something started, for one rate.
#[derive(Default)]
struct Pace {
    per_second: Option<f64>,
    starts: VecDeque<u64>,
}

impl Pace {
    /// In any time `t` at most `rate · (t + 50 ms)` may start, or one and `rate · t`.
    fn start(&mut self, now_ms: u64, per_second: Option<f64>) -> Result<(), String> {
        if self.per_second != per_second {
            *self = Self { per_second, starts: VecDeque::new() };
        }
        let Some(rate) = per_second else { return Ok(()) };
        self.starts.push_back(now_ms);
        while self.starts.front().is_some_and(|first| first + 5000 < now_ms) {
            self.starts.pop_front();
        }
        for (at, first) in self.starts.iter().enumerate() {
            let secs = Duration::from_millis(now_ms - first).as_secs_f64();
            let most = (rate * (secs + 0.05)).max(1.0 + rate * secs);
            let count = u32::try_from(self.starts.len() - at).expect("small");
            if f64::from(count) > most + 1e-6 {
                return Err(format!("{count} in {secs} s at {rate} a second"));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Host {
    state: BreakerState,
    /// Rises with each change of the breaker.
    epoch: u32,
    /// In flight in all, and of those started since the last change.
    in_flight: u32,
    since_change: u32,
    outcomes: VecDeque<(u64, bool)>,
    half_opens_at: u64,
    pace: Pace,
}

pub struct Limits {
    seed: u64,
    hosts: HashMap<Place, Host>,
    paces: HashMap<SubscriptionKey, Pace>,
    /// Each with the epoch of its host and its bytes.
    flights: HashMap<(usize, FlightId), (u32, usize)>,
    bytes: HashMap<usize, usize>,
    pub opened: u64,
    pub closed: u64,
}

impl Limits {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            hosts: HashMap::new(),
            paces: HashMap::new(),
            flights: HashMap::new(),
            bytes: HashMap::new(),
            opened: 0,
            closed: 0,
        }
    }

    /// A new process knows nothing of the old one's limits.
    pub fn crashed(&mut self) {
        self.hosts.clear();
        self.paces.clear();
        self.flights.clear();
        self.bytes.clear();
    }

    /// Subscriptions came to or went from this host: it may have been forgotten.
    pub fn moved(&mut self, host: u64) {
        for ((_, of), watched) in &mut self.hosts {
            if *of == host {
                watched.pace = Pace::default();
            }
        }
    }

    /// The next owner of a subscription has a bucket of its own.
    pub fn released(&mut self, key: SubscriptionKey) {
        self.paces.remove(&key);
    }

    pub fn sent(&mut self, now_ms: u64, place: Place, id: FlightId, max: u32, per_second: Option<f64>) {
        let (seed, host) = (self.seed, self.hosts.entry(place).or_default());
        host.in_flight += 1;
        host.since_change += 1;
        self.flights.insert((place.0, id), (host.epoch, 0));
        assert!(host.in_flight <= max, "seed {seed}: {} requests to host {place:?}", host.in_flight);
        match host.state {
            BreakerState::Closed => {}
            BreakerState::Open => panic!("seed {seed}: sent to {place:?}, whose breaker is open"),
            BreakerState::HalfOpen => {
                assert!(host.since_change <= 1, "seed {seed}: more than a probe to {place:?}");
            }
        }
        if let Err(told) = host.pace.start(now_ms, per_second) {
            panic!("seed {seed}: host {place:?}: {told}");
        }
    }

    pub fn of_worker(&mut self, worker: usize, id: FlightId, bytes: usize) {
        self.flights.get_mut(&(worker, id)).expect("was sent").1 = bytes;
        let all = self.bytes.entry(worker).or_default();
        *all += bytes;
        assert!(*all < IN_FLIGHT_BYTES_MAX + BODY_MAX, "seed {}: {all} bytes in flight", self.seed);
    }

    pub fn of_subscription(&mut self, now_ms: u64, key: SubscriptionKey, rate: Option<f64>) {
        let pace = self.paces.entry(key).or_default();
        if let Err(told) = pace.start(now_ms, rate) {
            panic!("seed {}: {key:?}: {told}", self.seed);
        }
    }

    pub fn ended(&mut self, now_ms: u64, place: Place, id: FlightId, sign: Sign) {
        let host = self.hosts.get_mut(&place).expect("was sent to");
        host.in_flight -= 1;
        let (epoch, bytes) = self.flights.remove(&(place.0, id)).expect("was sent");
        *self.bytes.get_mut(&place.0).expect("was sent") -= bytes;
        if epoch == host.epoch {
            host.since_change -= 1;
        }
        host.outcomes.push_back((now_ms, matches!(sign, Sign::Ill(_))));
        let window = u64::try_from(BREAKER.window.as_millis()).expect("small");
        while host.outcomes.front().is_some_and(|(at, _)| at + window < now_ms) {
            host.outcomes.pop_front();
        }
    }

    pub fn changed(&mut self, now_ms: u64, place: Place, transition: &Transition) {
        let (seed, host) = (self.seed, self.hosts.entry(place).or_default());
        let (requests, failed) =
            (host.outcomes.len(), host.outcomes.iter().filter(|(_, failed)| *failed).count());
        match (host.state, transition.to) {
            (BreakerState::Closed | BreakerState::HalfOpen, BreakerState::Open) => {
                self.opened += 1;
                let open_ms = u64::try_from(transition.open_for.as_millis()).expect("small");
                host.half_opens_at = now_ms + open_ms;
                assert!(host.outcomes.back().is_some_and(|(_, failed)| *failed), "seed {seed}: no failure");
                if let Why::Failing { failed: said, requests: of, .. } = transition.why {
                    assert!(of >= BREAKER.min_requests && said * 2 >= of, "seed {seed}: {transition:?}");
                    assert!(
                        failed >= usize::try_from(said).expect("small")
                            && requests >= usize::try_from(of).expect("small"),
                        "seed {seed}: {transition:?}, but there were {failed} of {requests}"
                    );
                }
            }
            (BreakerState::Open, BreakerState::HalfOpen) => {
                let (due, late) = (host.half_opens_at, host.half_opens_at + LATE_MS);
                assert!((due..=late).contains(&now_ms), "seed {seed}: half-open at {now_ms}, due at {due}");
            }
            (BreakerState::HalfOpen, BreakerState::Closed) => {
                let forgotten = transition.why == Why::Forgotten;
                let last = host.outcomes.back();
                assert!(forgotten || last.is_some_and(|(_, failed)| !failed), "seed {seed}: no success");
                self.closed += u64::from(!forgotten);
            }
            (from, to) => panic!("seed {seed}: {place:?} from {from:?} to {to:?}"),
        }
        host.state = transition.to;
        host.epoch += 1;
        host.since_change = 0;
    }
}

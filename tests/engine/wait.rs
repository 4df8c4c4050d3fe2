//! Waiting for conditions, and turns between tests that measure.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks until the answer is there; panics with `what` and the last refusal after `patience`.
pub fn until_within<T, E: Debug>(what: &str, patience: Duration, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let give_up = Instant::now() + patience;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) if Instant::now() >= give_up => {
                panic!("waited {patience:?} for {what}; last: {last:?}")
            }
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}

pub fn until<T, E: Debug>(what: &str, ask: impl FnMut() -> Result<T, E>) -> T {
    until_within(what, PATIENCE, ask)
}

/// Watches for as long as `time` that something does not happen: absence has no event to wait for.
pub fn never_during(time: Duration, mut check: impl FnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check();
        std::thread::park_timeout(LOOK_EVERY);
    }
    check();
}

/// Tests that load the machine or measure it run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from the environment, for longer variants.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The value below which `share` of `values` lie.
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    #[expect(clippy::cast_sign_loss, reason = "a share of a length")]
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

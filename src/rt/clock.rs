//! The only clock.
//!
//! `wall` is what the machine's clock says, for what people and receivers read. [`now`] gives the
//! scheduling time: wall time that is *slewed*: it starts at the machine's clock and then follows it by
//! at most a tenth of real time, so that a clock that jumps a day ahead does not make every waiting
//! retry due at once, and one that jumps back does not freeze them.

#![expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Mono, Now, UnixMillis};

struct Origin {
    instant: Instant,
    wall: UnixMillis,
}

fn origin() -> &'static Origin {
    static ORIGIN: OnceLock<Origin> = OnceLock::new();
    ORIGIN.get_or_init(|| Origin { instant: Instant::now(), wall: wall() })
}

/// Monotonic time since the process first asked.
#[must_use]
pub fn mono() -> Mono {
    Mono(u64::try_from(origin().instant.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// What the machine's clock says.
#[must_use]
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// CPU time that the calling thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Both clocks for scheduling.
#[must_use]
pub fn now() -> Now {
    static OFFSET_MS: AtomicI64 = AtomicI64::new(0);
    static LAST_MS: AtomicU64 = AtomicU64::new(0);
    let origin = origin();
    let mono = mono();
    let elapsed_ms = mono.0 / 1_000_000;
    let steady = origin.wall.0.saturating_add(elapsed_ms);
    let offset = OFFSET_MS.load(Ordering::Relaxed);
    let last = LAST_MS.load(Ordering::Relaxed);
    if elapsed_ms >= last.saturating_add(SLEW_EVERY_MS)
        && LAST_MS.compare_exchange(last, elapsed_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        let behind = i128::from(wall().0) - (i128::from(steady) + i128::from(offset));
        OFFSET_MS.fetch_add(slew(behind, elapsed_ms - last), Ordering::Relaxed);
    }
    let wall = UnixMillis(steady.saturating_add_signed(OFFSET_MS.load(Ordering::Relaxed)));
    Now { mono, wall }
}

/// How often the machine's clock is looked at.
const SLEW_EVERY_MS: u64 = 100;

/// How far to move towards a clock that is `behind_ms` ahead of us, after `passed_ms`.
fn slew(behind_ms: i128, passed_ms: u64) -> i64 {
    let most = i128::from(passed_ms / 10);
    i64::try_from(behind_ms.clamp(-most, most)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_jump_slowly() {
        let check = |behind, passed, want| assert_eq!(slew(behind, passed), want);
        check(0, 100, 0);
        check(3, 100, 3);
        check(86_400_000, 100, 10);
        check(-86_400_000, 100, -10);
        check(86_400_000, 0, 0);
    }

    #[test]
    fn goes_forward() {
        let first = now();
        let second = now();
        assert!(second.mono >= first.mono && second.wall >= first.wall);
    }
}

//! Time as data. Pure code takes [`Now`] as an argument; only `rt` reads a clock.
//!
//! Two clocks on purpose: [`Mono`] never jumps and is what waits are measured in; [`UnixMillis`] is
//! wall time, which is what people read and what must survive a restart.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds on the monotonic clock since an arbitrary origin, the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// Time passed since `earlier`; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct UnixMillis(pub u64);

/// The largest time that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
const UNIX_MILLIS_MAX: u64 = 253_402_300_799_999;

impl UnixMillis {
    /// RFC 3339 in UTC with exactly three decimals, e.g. `2026-11-23T14:49:00.000Z`.
    /// A time after the year 9999 is written as the last millisecond of it.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let millis = self.0.min(UNIX_MILLIS_MAX);
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }

    /// Reads RFC 3339 (any offset, any number of decimals; cut to milliseconds).
    /// `None` for anything else and for times before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// Whole seconds, as `webhook-timestamp` wants them.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Time passed since `earlier`; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for UnixMillis {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for UnixMillis {
    type Output = Self;
    fn sub(self, back: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(back.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// One reading of both clocks, taken together by the shell.
///
/// `wall` follows the machine's clock but is slewed rather than stepped (see `rt::clock`), so that a
/// jump neither fires every retry at once nor freezes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    pub wall: UnixMillis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_both_ways() {
        let check = |text: &str, millis: Option<u64>, back: &str| {
            assert_eq!(UnixMillis::parse_rfc3339(text), millis.map(UnixMillis), "{text}");
            if let Some(millis) = millis {
                assert_eq!(UnixMillis(millis).to_rfc3339(), back);
            }
        };
        check("2026-11-23T14:49:00.000Z", Some(1_795_445_340_000), "2026-11-23T14:49:00.000Z");
        check("2026-11-23T15:49:00.1239+01:00", Some(1_795_445_340_123), "2026-11-23T14:49:00.123Z");
        check("1970-01-01T00:00:00Z", Some(0), "1970-01-01T00:00:00.000Z");
        check("1969-12-31T23:59:59Z", None, "");
        check("2026-11-23", None, "");
        check("", None, "");
    }

    #[test]
    fn times_saturate() {
        assert_eq!(Mono(5).since(Mono(9)), Duration::ZERO);
        assert_eq!(UnixMillis(5) - Duration::from_secs(9), UnixMillis(0));
        assert_eq!(UnixMillis(u64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999Z");
    }
}

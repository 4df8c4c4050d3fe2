//! Times on the command line: how long ago, or when.

use std::time::Duration;

use crate::config::parse_duration;
use crate::model::UnixMillis;
use crate::rt::clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Ago(Duration),
    At(UnixMillis),
}

impl Moment {
    /// As the API takes it, by this machine's clock.
    pub(super) fn to_rfc3339(self) -> String {
        self.resolve(clock::wall()).to_rfc3339()
    }

    fn resolve(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Ago(time) => now - time,
            Self::At(at) => at,
        }
    }
}

/// For clap.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let ago = parse_duration(text).map(Moment::Ago);
    ago.or_else(|| UnixMillis::parse_rfc3339(text).map(Moment::At))
        .ok_or_else(|| "write it as 30m, 2h or 7d (ago), or as 2026-11-23T14:49:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ago_or_at() {
        let now = UnixMillis(1_000_000_000);
        let check = |text: &str, want: Option<u64>| {
            assert_eq!(moment(text).ok().map(|moment| moment.resolve(now).0), want, "{text}");
        };
        check("2h", Some(1_000_000_000 - 7_200_000));
        check("30m", Some(1_000_000_000 - 1_800_000));
        check("1970-01-01T00:00:01Z", Some(1000));
        check("1970-01-01T01:00:01+01:00", Some(1000));
        check("1000d", Some(0));
        check("yesterday", None);
        check("2026-11-23", None);
    }
}

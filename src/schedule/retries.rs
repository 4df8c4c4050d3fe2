//! The near window of retries: those due soon are in memory, all others on disk only.
//!
//! Every retry has a row on disk. The window says up to which due time all of this worker's rows are in
//! memory too (or parked with their lane), so a million retries that are due tomorrow cost nothing now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::UnixMillis;
use crate::settle::{RetryKey, RetryRow};

/// How far ahead rows are read.
pub const WINDOW: Duration = Duration::from_secs(30);
/// Timers in memory at most; reading ahead stops there, and rows come later than they are due.
pub const TIMERS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub struct RetryWindow {
    timers: BTreeMap<RetryKey, RetryRow>,
    /// Every row due at or before this is in memory.
    through: UnixMillis,
    /// A page was asked for and has not come.
    reading: bool,
    /// Where the current window is to be read on, and until when it reaches.
    rest: Option<(RetryKey, UnixMillis)>,
}

/// What to ask the readers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub after: Option<RetryKey>,
    pub until: UnixMillis,
}

impl RetryWindow {
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading
    }

    /// Rows due before this may have been passed by already, so a lane's parked retries are looked for
    /// up to it.
    #[must_use]
    pub fn until(&self, now: UnixMillis) -> UnixMillis {
        let ahead = self.rest.map_or(self.through, |(_, until)| until.max(self.through));
        ahead.max(now) + Duration::from_millis(1)
    }

    /// Whether a row due then must be kept in memory (its page is read already or being read).
    #[must_use]
    pub fn covers(&self, due: UnixMillis) -> bool {
        let ahead = |(after, until): (RetryKey, UnixMillis)| {
            // A page that is under way may miss a row that is being put; one still to be asked for won't.
            if self.reading || self.timers.len() < TIMERS_MAX { due <= until } else { due <= after.due }
        };
        due <= self.through || self.rest.is_some_and(ahead)
    }

    pub fn insert(&mut self, row: RetryRow) {
        self.timers.insert(row.key, row);
    }

    pub fn remove(&mut self, key: &RetryKey) {
        self.timers.remove(key);
    }

    /// The next row whose time has come.
    pub fn pop_due(&mut self, now: UnixMillis) -> Option<RetryRow> {
        let first = self.timers.first_entry()?;
        (first.key().due <= now).then(|| first.remove())
    }

    /// When the next row in memory is due.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.timers.first_key_value().map(|(key, _)| key.due)
    }

    /// When the next page has to be asked for.
    #[must_use]
    pub fn next_read(&self) -> Option<UnixMillis> {
        if self.reading || self.timers.len() >= TIMERS_MAX / 2 {
            return None;
        }
        if self.rest.is_some() { Some(UnixMillis(0)) } else { Some(self.through - WINDOW / 2) }
    }

    /// The next page to ask for, where it is time. The caller must deliver the answer.
    pub fn ask(&mut self, now: UnixMillis) -> Option<Ask> {
        if self.next_read().is_none_or(|at| now < at) {
            return None;
        }
        self.reading = true;
        Some(if let Some((after, until)) = self.rest {
            Ask { after: Some(after), until }
        } else {
            let until = now + WINDOW;
            // Nothing due at or before `through` is on disk alone, so reading begins there.
            let after = (self.through > UnixMillis(0)).then_some(RetryKey {
                due: self.through,
                subscription: crate::model::SubscriptionKey(u64::MAX),
                seq: crate::model::Seq(u64::MAX),
            });
            self.rest = Some((
                after.unwrap_or(RetryKey {
                    due: UnixMillis(0),
                    subscription: crate::model::SubscriptionKey(0),
                    seq: crate::model::Seq(0),
                }),
                until,
            ));
            Ask { after, until }
        })
    }

    /// The page that was asked for has come; its rows were inserted by the caller.
    pub fn answered(&mut self, until: UnixMillis, next: Option<RetryKey>) {
        self.reading = false;
        if let Some(next) = next {
            self.rest = Some((next, until));
        } else {
            self.rest = None;
            self.through = self.through.max(until - Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_the_end_of_a_page_is_in_the_next() {
        let mut window = RetryWindow::default();
        let first = window.ask(UnixMillis(1_000_000)).expect("nothing was read");
        assert_eq!((first.after, first.until), (None, UnixMillis(1_000_000) + WINDOW));
        window.answered(first.until, None);
        let last = first.until - Duration::from_millis(1);
        assert!(window.covers(last) && !window.covers(first.until), "pages end before `until`");
        let next = window.ask(first.until).expect("half the window is through");
        assert_eq!(next.after.map(|key| key.due), Some(last));
        assert!(window.covers(first.until), "it is being read");
    }
}

//! When events came: the first seq of each minute in which any did. Retention speaks in time and the
//! log in seqs; this is the bridge, and it costs one row a minute instead of a look at every event.

use crate::model::{Seq, UnixMillis};

/// Points kept at most, 45 days of busy minutes. At the bound every second point of the older half
/// goes: floors there become coarser (events live a little longer), none becomes wrong.
pub const POINTS_MAX: usize = 65_536;

const MINUTE_MS: u64 = 60_000;

/// The first event of a minute since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub minute: u32,
    pub first: Seq,
}

/// Rising in both minute and seq.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    points: Vec<Point>,
}

impl Timeline {
    /// From rows in the order of their keys; rows out of order (damage) are left out.
    #[must_use]
    pub fn load(rows: impl IntoIterator<Item = Point>) -> Self {
        let mut timeline = Self::default();
        for point in rows {
            let rises = |last: &Point| last.minute < point.minute && last.first < point.first;
            if timeline.points.last().is_none_or(rises) {
                timeline.points.push(point);
            }
        }
        timeline
    }

    /// The point that an event at `seq` begins, where it is the first of its minute.
    #[must_use]
    pub fn begins(&self, at: UnixMillis, seq: Seq) -> Option<Point> {
        let minute = u32::try_from(at.0 / MINUTE_MS).unwrap_or(u32::MAX);
        let newer = |last: &Point| last.minute < minute && last.first < seq;
        self.points.last().is_none_or(newer).then_some(Point { minute, first: seq })
    }

    /// Takes a point from [`Timeline::begins`] once it is on disk. Gives the minutes that had to go.
    pub fn push(&mut self, point: Point) -> Vec<u32> {
        self.points.push(point);
        if self.points.len() <= POINTS_MAX {
            return Vec::new();
        }
        let half = self.points.len() / 2;
        let mut index = 0;
        let mut gone = Vec::new();
        self.points.retain(|point| {
            // The first one stays: what is before it has no place to be measured from.
            let goes = index < half && index % 2 == 1;
            index += 1;
            if goes {
                gone.push(point.minute);
            }
            !goes
        });
        gone
    }

    /// The highest seq of which is known that everything below it came before `cutoff`.
    #[must_use]
    pub fn floor(&self, cutoff: UnixMillis) -> Seq {
        let before = self.points.partition_point(|point| u64::from(point.minute) * MINUTE_MS <= cutoff.0);
        before.checked_sub(1).and_then(|index| self.points.get(index)).map_or(Seq(0), |point| point.first)
    }

    /// Forgets points that no floor at or above `floor` needs. Gives their minutes.
    pub fn forget_below(&mut self, floor: Seq) -> Vec<u32> {
        let keep_from = self.points.partition_point(|point| point.first <= floor).saturating_sub(1);
        self.points.drain(..keep_from).map(|point| point.minute).collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(points: &[(u32, u64)]) -> Timeline {
        Timeline::load(points.iter().map(|&(minute, first)| Point { minute, first: Seq(first) }))
    }

    #[test]
    fn floors() {
        let timeline = filled(&[(10, 1), (11, 50), (20, 90)]);
        let check = |minute_ms: u64, want| assert_eq!(timeline.floor(UnixMillis(minute_ms)), Seq(want));
        check(0, 0);
        check(10 * 60_000, 1);
        check(11 * 60_000 - 1, 1);
        check(11 * 60_000, 50);
        check(19 * 60_000, 50);
        check(u64::MAX, 90);
    }

    #[test]
    fn one_point_a_minute_and_time_never_goes_back() {
        let timeline = filled(&[(10, 5)]);
        assert_eq!(timeline.begins(UnixMillis(10 * 60_000 + 59_999), Seq(6)), None);
        assert_eq!(timeline.begins(UnixMillis(9 * 60_000), Seq(6)), None);
        let next = timeline.begins(UnixMillis(11 * 60_000), Seq(6));
        assert_eq!(next, Some(Point { minute: 11, first: Seq(6) }));
        assert_eq!(filled(&[(10, 5), (9, 6), (11, 4), (12, 7)]).len(), 2, "damage is left out");
    }

    #[test]
    fn bounded_and_never_wrong() {
        let mut timeline = Timeline::default();
        let mut gone = 0;
        for n in 1..=200_000u32 {
            let point = timeline.begins(UnixMillis(u64::from(n) * 60_000), Seq(u64::from(n) * 10));
            gone += timeline.push(point.expect("a new minute")).len();
            assert!(timeline.len() <= POINTS_MAX);
        }
        assert_eq!(timeline.len() + gone, 200_000);
        for minute in [1u64, 77, 5_000, 150_001, 200_000] {
            let floor = timeline.floor(UnixMillis(minute * 60_000));
            assert!(floor.0 <= minute * 10, "nothing younger is dropped");
        }
    }

    #[test]
    fn forgets_what_no_floor_needs() {
        let mut timeline = filled(&[(10, 1), (11, 50), (20, 90)]);
        assert_eq!(timeline.forget_below(Seq(60)), [10]);
        assert_eq!(timeline.floor(UnixMillis(11 * 60_000)), Seq(50));
        assert!(timeline.forget_below(Seq(0)).is_empty());
    }
}

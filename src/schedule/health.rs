//! How a lane's receiver does, and what follows: when it is given up, and what is told of it.

use std::time::Duration;

use super::shard::{Action, Shard};
use crate::model::subscription::DisabledReason;
use crate::model::{
    Event, Mono, Now, OnBlocked, Ordering, Status, Subscription, SubscriptionKey, UnixMillis,
};
use crate::settle::{DeadReason, Notice};

/// Deaths of one subscription that are told in one minute; the rest are counted with the next.
pub const NOTICES_PER_MINUTE_MAX: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// A failing time is written down once it has lasted this long, or a twentieth of `disable_after` where
/// that is less: a receiver that fails now and then costs no row.
const FAILING_ROW_AFTER: Duration = Duration::from_secs(60);
/// What was asked of the writer and has not come true is asked again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What a lane knows of its receiver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition {
    pub last_success_at: Option<UnixMillis>,
    pub last_failure_at: Option<UnixMillis>,
    /// Since when nothing but failure came.
    pub failing_since: Option<UnixMillis>,
    /// That is in the store, so that a start does not forget it.
    has_row: bool,
    /// The record with which it last began anew: what was sent by an earlier one went to another place, or
    /// before someone said that it is well again.
    anew: u64,
    /// When it was last asked to be made inactive, or to be told as recovered.
    asked_at: Option<Mono>,
    /// With what reason it was last asked to be made inactive, and whether to tell others.
    asked: Option<(DisabledReason, bool)>,
    /// The minute in which deaths are counted, those told in it, and those not told yet.
    minute: UnixMillis,
    told: u32,
    omitted: u32,
}

impl Condition {
    #[must_use]
    pub fn has_row(&self) -> bool {
        self.has_row
    }

    /// Whether what was sent by this version of the record says anything of the receiver as it is now.
    #[must_use]
    pub fn counts(&self, version: u64) -> bool {
        version >= self.anew
    }

    fn may_ask(&mut self, now: Mono) -> bool {
        let may = self.asked_at.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        if may {
            self.asked_at = Some(now);
        }
        may
    }

    /// How many deaths were left out before this one, or `None` where this one is left out too.
    fn tell(&mut self, now: UnixMillis) -> Option<u32> {
        if now.since(self.minute) >= MINUTE {
            (self.minute, self.told) = (now, 0);
        }
        if self.told >= NOTICES_PER_MINUTE_MAX {
            self.omitted = self.omitted.saturating_add(1);
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.omitted))
    }
}

impl Shard {
    /// Since when subscriptions fail, as an earlier run wrote it down. Before anything else.
    pub fn recall_failing(&mut self, failing: &[(SubscriptionKey, UnixMillis)]) {
        for (key, since) in failing {
            let Some(subscription) = self.index.subscription(*key).cloned() else { continue };
            if self.index.owner(&subscription) != self.options.worker {
                continue;
            }
            if let Some(lane) = self.lane(&subscription, super::lane::Cursor::Live) {
                lane.condition.failing_since = Some(*since);
                lane.condition.has_row = true;
            }
            self.touch(*key);
        }
    }

    /// An attempt ended. What happens to operational events is noted and told to nobody.
    pub(super) fn note_health(&mut self, now: Now, key: SubscriptionKey, event: &Event, success: bool) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let announce = !event.type_bit.is_operational();
        if success {
            lane.condition.last_success_at = Some(now.wall);
            lane.condition.asked = None;
            let recovered = announce && lane.subscription.announced && lane.condition.may_ask(now.mono);
            self.forget_failing(now, key);
            if recovered {
                self.actions.push_back(Action::Recovered(key));
            }
            return;
        }
        let condition = &mut lane.condition;
        condition.last_failure_at = Some(now.wall);
        let since = *condition.failing_since.get_or_insert(now.wall);
        let Some(limit) = self.options.disable_after else { return };
        let lasted = now.wall.since(since);
        if !condition.has_row && lasted >= FAILING_ROW_AFTER.min(limit / 20) {
            condition.has_row = true;
            self.journal.failing(now.mono, key, Some(since));
        }
        if lasted >= limit {
            self.give_up(now, key, DisabledReason::Failing, announce);
        }
    }

    /// It fails no longer, or what failed is no longer what it sends to.
    pub(super) fn forget_failing(&mut self, now: Now, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.condition.failing_since = None;
        if std::mem::take(&mut lane.condition.has_row) {
            self.journal.failing(now.mono, key, None);
        }
    }

    /// The subscription was changed: what was asked for has come true, or was refused because the record
    /// was another by then. Where the change has nothing to do with it, it is asked for again.
    pub(super) fn note_change(&mut self, now: Now, before: &Subscription, after: &Subscription) {
        let anew = after.begins_anew(before);
        let Some(lane) = self.lanes.get_mut(&after.key) else { return };
        lane.condition.asked_at = None;
        let asked = lane.condition.asked.take();
        if anew {
            lane.condition.anew = after.version;
            self.forget_failing(now, after.key);
        } else if let Some((reason, announce)) = asked
            && after.status == Status::Active
        {
            self.give_up(now, after.key, reason, announce);
        }
    }

    /// Asks for the subscription to be made inactive. `announce`: so that others may be told.
    pub(super) fn give_up(&mut self, now: Now, key: SubscriptionKey, reason: DisabledReason, announce: bool) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if !lane.releasing && lane.condition.may_ask(now.mono) {
            let version = lane.subscription.version;
            lane.condition.asked = Some((reason, announce));
            // Nothing more is sent until that has come true; were it lost, sending goes on after a while.
            let at = now.mono + ASK_AGAIN;
            if let Some(before) = lane.token_at.replace(at) {
                self.waiting.remove(&(before, key));
            }
            self.waiting.insert((at, key));
            self.actions.push_back(Action::Disable { key, version, reason, announce });
        }
    }

    /// With `park`, a failure makes the subscription inactive; its head is kept as a retry.
    pub(super) fn park_if_asked(&mut self, now: Now, key: SubscriptionKey, announce: bool) {
        let parks = self.lanes.get(&key).is_some_and(|lane| {
            let delivery = &lane.subscription.delivery;
            delivery.ordering == Ordering::Fifo && delivery.on_blocked == OnBlocked::Park
        });
        if parks {
            self.give_up(now, key, DisabledReason::Blocked, announce);
        }
    }

    /// A delivery was given up: others may want to know.
    pub(super) fn announce_death(
        &mut self,
        now: Now,
        key: SubscriptionKey,
        event: &Event,
        (reason, attempts): (DeadReason, u16),
    ) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if event.type_bit.is_operational() {
            return;
        }
        if let Some(omitted) = lane.condition.tell(now.wall) {
            let notice = Notice {
                subscription: key,
                seq: event.seq,
                event_id: event.id().into(),
                type_bit: event.type_bit,
                reason,
                attempts,
                at: now.wall,
                omitted,
            };
            self.journal.notice(now.mono, notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_deaths_a_minute_are_told_and_the_rest_counted() {
        let mut condition = Condition::default();
        let start = UnixMillis(1_000_000);
        let told = (0..25).filter_map(|n| condition.tell(start + Duration::from_secs(n))).count();
        assert_eq!(told, 10);
        assert_eq!(condition.tell(start + MINUTE), Some(15));
        assert_eq!(condition.tell(start + MINUTE), Some(0));
    }

    #[test]
    fn asks_again_after_a_while() {
        let mut condition = Condition::default();
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        assert!(condition.may_ask(at(5)));
        assert!(!condition.may_ask(at(14)));
        assert!(condition.may_ask(at(15)));
    }
}

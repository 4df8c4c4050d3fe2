//! The engine's own events: whether somebody wants them, and what is in them.
//!
//! They are decided with the change that they tell of and written in one piece with it. None is made where
//! no other subscription of the account wants it at that moment.

use bytes::Bytes;
use serde::Serialize;

use super::state::Registry;
use crate::model::operational::{DEAD, DISABLED, RECOVERED, event_id};
use crate::model::subscription::DisabledReason;
use crate::model::{NewEvent, Status, Subscription, TypeBit, UnixMillis};
use crate::settle::Notice;

/// What receivers get, as every event looks (contract §4).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, D> {
    id: &'a str,
    #[serde(rename = "type")]
    type_id: String,
    timestamp: String,
    account_id: &'a str,
    data: D,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Disabled<'a> {
    subscription_id: &'a str,
    subscription_name: &'a str,
    reason: &'static str,
    #[serde(rename = "disabledAt")]
    at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recovered<'a> {
    subscription_id: &'a str,
    subscription_name: &'a str,
    #[serde(rename = "recoveredAt")]
    at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dead<'a> {
    subscription_id: &'a str,
    subscription_name: &'a str,
    event_id: &'a str,
    event_type: String,
    reason: &'static str,
    attempts: u16,
    died_at: String,
    omitted: u32,
}

impl Registry {
    /// Whether a subscription of the account other than `about` wants `bit` now.
    fn is_watched(&self, about: &Subscription, bit: TypeBit) -> bool {
        self.subscriptions_of(about.account).iter().any(|other| {
            let wants = || other.epochs.last().is_some_and(|epoch| epoch.mask.contains(bit));
            other.key != about.key && other.status == Status::Active && wants()
        })
    }

    fn event<D: Serialize>(
        &self,
        about: &Subscription,
        (bit, what, number): (TypeBit, &str, u64),
        at: UnixMillis,
        data: D,
    ) -> Option<NewEvent> {
        if !self.is_watched(about, bit) {
            return None;
        }
        let id = event_id(&about.id, what, number)?;
        let body = Body {
            id: id.as_str(),
            type_id: self.options.catalogue.id(bit)?,
            timestamp: at.to_rfc3339(),
            account_id: about.account_name.as_str(),
            data,
        };
        let body = Bytes::from(serde_json::to_vec(&body).ok()?);
        Some(NewEvent { id, account: about.account_name.clone(), type_bit: bit, body })
    }

    /// `about` as it is after the change.
    pub(super) fn disabled_event(
        &self,
        about: &Subscription,
        reason: DisabledReason,
        now: UnixMillis,
    ) -> Option<NewEvent> {
        let data = Disabled {
            subscription_id: about.id.as_str(),
            subscription_name: &about.name,
            reason: reason.as_str(),
            at: now.to_rfc3339(),
        };
        self.event(about, (DISABLED, "disabled", about.version), now, data)
    }

    pub(super) fn recovered_event(&self, about: &Subscription, now: UnixMillis) -> Option<NewEvent> {
        let data = Recovered {
            subscription_id: about.id.as_str(),
            subscription_name: &about.name,
            at: now.to_rfc3339(),
        };
        self.event(about, (RECOVERED, "recovered", about.version), now, data)
    }

    /// The event that tells of a death; `None` where nobody wants it, or its subscription is gone.
    #[must_use]
    pub fn dead_event(&self, notice: &Notice) -> Option<NewEvent> {
        let about = self.subscription(notice.subscription)?;
        let data = Dead {
            subscription_id: about.id.as_str(),
            subscription_name: &about.name,
            event_id: &notice.event_id,
            event_type: self.options.catalogue.id(notice.type_bit).unwrap_or_default(),
            reason: notice.reason.as_str(),
            attempts: notice.attempts,
            died_at: notice.at.to_rfc3339(),
            omitted: notice.omitted,
        };
        self.event(about, (DEAD, "dead", notice.seq.0), notice.at, data)
    }
}

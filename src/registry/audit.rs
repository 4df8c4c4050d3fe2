//! The audit trail: who changed what, and when.
//!
//! What is noted follows from what changed, not from what was asked for, so that no way of changing
//! something can be forgotten, and what changes nothing leaves nothing. Of fields there are names, never
//! values: some are secrets. An entry is written in one batch with what it tells of; what is sent by hand
//! changes no row here, and is noted before it goes out.
//!
//! Deliberately absent: accounts that come into being by their first event (there is one for each, and
//! nobody decided on it), that a token was used (the token says so), and the end of a job whose subscription
//! was deleted (that says so too).

use std::collections::HashMap;

use super::change::{AccountChange, Changed, SubscriptionChange, TokenChange};
use super::origin::Actor;
use super::state::FLAGS;
use super::words::Word;
use crate::model::{AccountKey, AccountName, Status, Subscription, UnixMillis};

/// Entries kept of one account; the oldest gives way.
pub const AUDIT_PER_ACCOUNT_MAX: u64 = 10_000;
/// Entries kept in all.
pub const AUDIT_MAX: u64 = 1_000_000;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SubscriptionCreate,
    SubscriptionUpdate,
    SubscriptionDelete,
    /// The engine gave its receiver up.
    SubscriptionDisable,
    SecretRotate,
    /// Somebody looked at it.
    SecretReveal,
    TokenCreate,
    TokenDelete,
    AccountCreate,
    AccountUpdate,
    AccountDelete,
    FeatureSet,
    /// Somebody signed in to the console.
    SessionBegin,
    /// A test event was asked for.
    SubscriptionTest,
    /// A delivery was asked for once more.
    SubscriptionResend,
    JobCreate,
    JobCancel,
    /// It came to its end by itself.
    JobEnd,
}

impl Word for Action {
    const TABLE: &'static [(Self, &'static str, u8)] = &[
        (Self::SubscriptionCreate, "subscription.create", 1),
        (Self::SubscriptionUpdate, "subscription.update", 2),
        (Self::SubscriptionDelete, "subscription.delete", 3),
        (Self::SubscriptionDisable, "subscription.disable", 4),
        (Self::SecretRotate, "secret.rotate", 5),
        (Self::SecretReveal, "secret.reveal", 6),
        (Self::TokenCreate, "token.create", 7),
        (Self::TokenDelete, "token.delete", 8),
        (Self::AccountCreate, "account.create", 9),
        (Self::AccountUpdate, "account.update", 10),
        (Self::AccountDelete, "account.delete", 11),
        (Self::FeatureSet, "feature.set", 12),
        (Self::SessionBegin, "session.begin", 13),
        (Self::SubscriptionTest, "subscription.test", 14),
        (Self::SubscriptionResend, "subscription.resend", 15),
        (Self::JobCreate, "job.create", 16),
        (Self::JobCancel, "job.cancel", 17),
        (Self::JobEnd, "job.end", 18),
    ];
}

/// What something was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    Subscription,
    Token,
    Account,
    Feature,
    Session,
}

impl Word for TargetKind {
    const TABLE: &'static [(Self, &'static str, u8)] = &[
        (Self::Subscription, "subscription", 1),
        (Self::Token, "token", 2),
        (Self::Account, "account", 3),
        (Self::Feature, "feature", 4),
        (Self::Session, "session", 5),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: TargetKind,
    pub id: String,
    /// For people; as it was after the change.
    pub name: String,
}

/// That something was done, without when and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose list it is in beside the operator's.
    pub account: Option<(AccountKey, AccountName)>,
    pub action: Action,
    pub target: Target,
    /// Names of what changed.
    pub changes: Vec<String>,
}

/// One line of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub serial: u64,
    /// Its number among its account's.
    pub own_serial: u64,
    pub at: UnixMillis,
    pub actor: Actor,
    pub note: Note,
}

/// The numbers that entries get next: of each account that has any.
#[derive(Debug, Default)]
pub(super) struct Serials(HashMap<AccountKey, u64, foldhash::fast::RandomState>);

/// Where the serials of all together are held. Accounts begin with 1.
pub(super) const ALL: AccountKey = AccountKey(0);

impl Serials {
    pub fn next(&self, account: AccountKey) -> u64 {
        self.0.get(&account).copied().unwrap_or(1)
    }

    /// `None`: the account is gone.
    pub fn set(&mut self, account: AccountKey, next: Option<u64>) {
        match next {
            Some(next) => self.0.insert(account, next),
            None => self.0.remove(&account),
        };
    }
}

/// What a change is worth noting for.
pub(super) fn notes(changed: &Changed, name_of: impl Fn(AccountKey) -> Option<AccountName>) -> Vec<Note> {
    let mut notes: Vec<Note> = changed.accounts.iter().filter_map(of_account).collect();
    // With the account goes all that it has.
    if changed.accounts.iter().any(|change| change.after.is_none()) {
        return notes;
    }
    notes.extend(changed.subscriptions.iter().filter_map(of_subscription));
    let made = |key| {
        let new = changed.accounts.iter().filter_map(|change| change.after.as_ref());
        new.filter(|account| account.key == key).map(|account| account.name.clone()).next()
    };
    notes.extend(
        changed.tokens.iter().filter_map(|change| of_token(change, |key| made(key).or_else(|| name_of(key)))),
    );
    notes
}

fn of_account(change: &AccountChange) -> Option<Note> {
    let account = change.after.as_ref().or(change.before.as_ref())?;
    let own = Some((account.key, account.name.clone()));
    let title = account.title.clone().unwrap_or_default();
    let note = |action, changes| Note {
        account: own.clone(),
        action,
        target: Target {
            kind: TargetKind::Account,
            id: account.name.as_str().to_owned(),
            name: title.clone(),
        },
        changes,
    };
    let Some(after) = &change.after else {
        return Some(Note { account: None, ..note(Action::AccountDelete, Vec::new()) });
    };
    let set = |flag: &str| {
        let before = change.before.as_ref().and_then(|before| before.features.get(flag));
        after.features.get(flag) != before
    };
    if let Some(flag) = FLAGS.iter().find(|flag| set(flag)) {
        let target = Target { kind: TargetKind::Feature, id: (*flag).to_owned(), name: (*flag).to_owned() };
        return Some(Note { target, ..note(Action::FeatureSet, vec!["enabled".to_owned()]) });
    }
    match &change.before {
        None => Some(note(Action::AccountCreate, Vec::new())),
        Some(before) => {
            (before.title != after.title).then(|| note(Action::AccountUpdate, vec!["name".to_owned()]))
        }
    }
}

/// A note of something that is done to a subscription.
#[must_use]
pub fn note_of(sub: &Subscription, action: Action, changes: Vec<String>) -> Note {
    let target =
        Target { kind: TargetKind::Subscription, id: sub.id.as_str().to_owned(), name: sub.name.clone() };
    Note { account: Some((sub.account, sub.account_name.clone())), action, target, changes }
}

fn of_subscription(change: &SubscriptionChange) -> Option<Note> {
    match (&change.before, &change.after) {
        (None, Some(after)) => Some(note_of(after, Action::SubscriptionCreate, Vec::new())),
        (Some(before), None) => Some(note_of(before, Action::SubscriptionDelete, Vec::new())),
        (Some(before), Some(after)) => {
            if before.secrets.current != after.secrets.current {
                return Some(note_of(after, Action::SecretRotate, Vec::new()));
            }
            let changes = fields(before, after);
            let gave_up = after.status == Status::Inactive && after.disabled_reason.is_some();
            let action = if gave_up && before.disabled_reason != after.disabled_reason {
                Action::SubscriptionDisable
            } else {
                Action::SubscriptionUpdate
            };
            (!changes.is_empty()).then(|| note_of(after, action, changes))
        }
        (None, None) => None,
    }
}

/// The fields that differ, by their names in the API.
fn fields(before: &Subscription, after: &Subscription) -> Vec<String> {
    let differs = [
        ("name", before.name != after.name),
        ("callbackUrl", before.callback_url != after.callback_url),
        ("events", before.events != after.events),
        ("headers", before.headers != after.headers),
        ("description", before.description != after.description),
        ("status", before.status != after.status),
        ("delivery", before.delivery != after.delivery),
        ("filter", before.filter != after.filter),
        ("clientCertificate", before.client_identity != after.client_identity),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

fn of_token(change: &TokenChange, name_of: impl Fn(AccountKey) -> Option<AccountName>) -> Option<Note> {
    let (action, token) = match (&change.before, &change.after) {
        (None, Some(after)) => (Action::TokenCreate, after),
        (Some(before), None) => (Action::TokenDelete, before),
        _ => return None,
    };
    let target = Target { kind: TargetKind::Token, id: token.id.to_string(), name: token.name.clone() };
    let account = name_of(token.account).map(|name| (token.account, name));
    Some(Note { account, action, target, changes: Vec::new() })
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;

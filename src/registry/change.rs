//! What may be changed, what came of it, and the plan between the two.

use std::sync::Arc;
use std::time::Duration;

use super::audit::Note;
use super::audit_row::NextSerials;
use super::draft::{Draft, Patch};
use super::field::FieldError;
use super::remembered::Memory;
use super::state::Account;
use super::token::{Token, TokenDigest, TokenDraft};
use crate::model::subscription::DisabledReason;
use crate::model::{
    AccountKey, AccountName, NewEvent, Refused, Subscription, SubscriptionId, SubscriptionKey, UnixMillis,
};

/// A change of the configuration, asked for by a person or by the engine itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Makes the account too, where there is none of that name.
    CreateSubscription {
        account: AccountName,
        draft: Draft,
    },
    /// `if_match`: only where this is its version.
    PatchSubscription {
        account: AccountName,
        id: SubscriptionId,
        patch: Patch,
        if_match: Option<u64>,
    },
    DeleteSubscription {
        account: AccountName,
        id: SubscriptionId,
        if_match: Option<u64>,
    },
    /// New signing keys; the present ones sign too while `overlap` lasts.
    RotateSecret {
        account: AccountName,
        id: SubscriptionId,
        overlap: Duration,
        if_match: Option<u64>,
    },
    /// The engine gives a receiver up. Nothing where it is inactive already.
    /// Nor where its version is another than the one that was judged: that one's receiver may be another.
    /// `announce`: subscriptions that ask for it are told.
    Disable {
        key: SubscriptionKey,
        version: u64,
        reason: DisabledReason,
        announce: bool,
    },
    /// It delivers again. Nothing where its being disabled was not announced.
    Recovered {
        key: SubscriptionKey,
    },
    /// Makes the account, or gives it another name for people.
    PutAccount {
        account: AccountName,
        name: Option<String>,
    },
    /// Makes the account where it is not there; nothing where it is.
    MakeAccount {
        account: AccountName,
    },
    /// With all its subscriptions.
    DeleteAccount {
        account: AccountName,
    },
    /// Flags can be set before the account's first event: the account is made.
    SetFeature {
        account: AccountName,
        flag: String,
        enabled: bool,
    },
    /// Makes the account too, where there is none of that name. The digest is of a token that only the
    /// asker will ever see.
    CreateToken {
        account: AccountName,
        draft: TokenDraft,
        digest: TokenDigest,
    },
    DeleteToken {
        account: AccountName,
        id: Box<str>,
    },
    /// Notes when a token was used last. Nothing where it is gone.
    TokenUsed {
        digest: TokenDigest,
        at: UnixMillis,
    },
    /// Changes nothing: there is only an answer to be remembered.
    Nothing,
    /// Changes nothing, and is worth a line in the audit trail.
    Note(Note),
}

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changed {
    pub accounts: Vec<AccountChange>,
    pub subscriptions: Vec<SubscriptionChange>,
    pub tokens: Vec<TokenChange>,
}

/// `before` is `None` where it is new, `after` where it is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountChange {
    pub before: Option<Arc<Account>>,
    pub after: Option<Arc<Account>>,
}

impl AccountChange {
    pub(super) fn makes(&self, key: AccountKey) -> bool {
        self.after.as_ref().is_some_and(|after| after.key == key)
    }
}

/// `before` is `None` where it is new, `after` where it is gone. Both are the same where a patch asked
/// for what was so already.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionChange {
    pub before: Option<Arc<Subscription>>,
    pub after: Option<Arc<Subscription>>,
}

/// `before` is `None` where it is new, `after` where it is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenChange {
    pub before: Option<Arc<Token>>,
    pub after: Option<Arc<Token>>,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no such thing")]
    NotFound,
    #[error("its version is {present}, not the one that If-Match names")]
    VersionMismatch { present: u64 },
    #[error("{} fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    #[error("the account has {max} subscriptions, which is the most it can have")]
    TooManySubscriptions { max: usize },
    #[error("the account has {max} tokens, which is the most it can have")]
    TooManyTokens { max: usize },
    #[error("a request with this Idempotency-Key was answered in the meantime; send it again for the answer")]
    Answered,
    #[error("the registry cannot number any more accounts or subscriptions")]
    Full,
    #[error(transparent)]
    Store(#[from] Refused),
}

/// A row of the family `meta`; `None` deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// A change that was decided and is not yet true.
///
/// It was decided against one state of the registry, so it must be installed before another is made:
/// plan, make durable, install, and then the next.
#[derive(Debug)]
#[must_use = "a plan changes nothing until its rows are durable and it is installed"]
pub struct Plan {
    pub(super) generation: u64,
    pub(super) rows: Vec<Row>,
    pub(super) changed: Changed,
    pub(super) counters: Counters,
    pub(super) event: Option<NewEvent>,
    pub(super) memory: Memory,
    pub(super) serials: NextSerials,
}

impl Plan {
    /// An event that tells of the change: to be written in one piece with its rows.
    pub fn event(&self) -> Option<&NewEvent> {
        self.event.as_ref()
    }

    /// What must be durable before the plan is installed. Empty where nothing changes.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether anything changes that somebody besides the registry must hear of.
    pub fn changes_nothing(&self) -> bool {
        let Changed { accounts, subscriptions, tokens } = &self.changed;
        accounts.is_empty() && subscriptions.is_empty() && tokens.is_empty()
    }

    /// Subscriptions that begin anew: what was noted of their receivers holds no longer.
    pub fn begun_anew(&self) -> impl Iterator<Item = SubscriptionKey> {
        let pairs =
            self.changed.subscriptions.iter().filter_map(|it| it.before.as_ref().zip(it.after.as_ref()));
        pairs.filter(|(before, after)| after.begins_anew(before)).map(|(_, after)| after.key)
    }

    /// The keys that new accounts will have.
    pub fn new_accounts(&self) -> impl Iterator<Item = (&AccountName, AccountKey)> {
        let made = |change: &AccountChange| change.before.is_none();
        self.changed
            .accounts
            .iter()
            .filter(move |change| made(change))
            .filter_map(|change| change.after.as_ref().map(|account| (&account.name, account.key)))
    }
}

/// The numbers that are given next. They only grow, and outlive what they numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    pub account: u32,
    pub subscription: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { account: 1, subscription: 1 }
    }
}

impl Counters {
    pub fn take_account(&mut self) -> Result<AccountKey, ChangeError> {
        let key = AccountKey(self.account);
        self.account = self.account.checked_add(1).ok_or(ChangeError::Full)?;
        Ok(key)
    }

    pub fn take_subscription(&mut self) -> Result<SubscriptionKey, ChangeError> {
        let key = SubscriptionKey(self.subscription);
        self.subscription = self.subscription.checked_add(1).ok_or(ChangeError::Full)?;
        Ok(key)
    }
}

//! The registry's state: loading it, looking things up, and installing what was planned.
//!
//! One hash look-up leads from an account's name to its key, because ingest does it for every event.
//! Accounts are ordered by key and subscriptions by id, both by age, so that lists have a stable order and
//! a cursor is simply the last item's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::audit::Serials;
use super::change::{Changed, Counters, Plan, Row, SubscriptionChange};
use super::entropy::{Entropy, Sealer};
use super::origin::{RequestDigest, RequestKey};
use super::remembered::{self, Remembered};
use super::rows::{self, LoadError, Read, RowError};
use super::selectors::Selectors;
use super::token::{Token, TokenDigest};
use super::vault::Vault;
use crate::model::{
    AccountKey, AccountName, DeliveryOptions, EventMask, Seq, Status, Subscription, SubscriptionId,
    SubscriptionKey, UnixMillis,
};
use crate::route::{Index, Placement};

/// Gates the Webhooks page and API of an account, and delivery of the gated event types.
pub const FLAG_WEBHOOKS: &str = "feature.integrations.webhooks";
/// Every flag there is.
pub const FLAGS: [&str; 1] = [FLAG_WEBHOOKS];
/// Subscriptions at most in one account: what its list, its part of the index and one change of a flag
/// can cost is bounded by it.
pub const SUBSCRIPTIONS_PER_ACCOUNT_MAX: usize = 10_000;

/// What the registry must be told.
#[derive(Clone)]
pub struct RegistryOptions {
    pub catalogue: Arc<dyn Selectors>,
    /// `feature.integrations.webhooks` for accounts that have no setting of their own.
    pub webhooks_enabled: bool,
    /// What a subscription gets where it says nothing.
    pub delivery: DeliveryOptions,
    /// Seals the secrets in rows.
    pub vault: Arc<Vault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub key: AccountKey,
    /// Its id for the outside.
    pub name: AccountName,
    /// Its name for people.
    pub title: Option<String>,
    pub created_at: UnixMillis,
    /// Flags that were set for this account; others have their default.
    pub features: BTreeMap<String, bool>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub account: Arc<Account>,
    /// By id.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// By id.
    pub tokens: Vec<Arc<Token>>,
}

/// Accounts and subscriptions. See the module.
pub struct Registry {
    pub(super) options: RegistryOptions,
    keys: HashMap<AccountName, AccountKey, foldhash::fast::RandomState>,
    pub(super) accounts: BTreeMap<AccountKey, Entry>,
    subscriptions: HashMap<SubscriptionKey, Arc<Subscription>, foldhash::fast::RandomState>,
    tokens: HashMap<TokenDigest, Arc<Token>, foldhash::fast::RandomState>,
    pub(super) remembered: Remembered,
    pub(super) serials: Serials,
    pub(super) counters: Counters,
    pub(super) generation: u64,
}

impl Registry {
    #[must_use]
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            options,
            keys: HashMap::default(),
            accounts: BTreeMap::new(),
            subscriptions: HashMap::default(),
            tokens: HashMap::default(),
            remembered: Remembered::default(),
            serials: Serials::default(),
            counters: Counters::default(),
            generation: 0,
        }
    }

    /// Takes in what the store holds, in the order of its keys (so that an account comes before its
    /// subscriptions); rows of `meta` that are the log's are passed over.
    ///
    /// Returns the rows that must be written again, because what a selector or a default flag means has
    /// changed since (those subscriptions have a new epoch from `next` on), or they are of an older version.
    ///
    /// # Errors
    /// The first damaged row.
    pub fn load(
        &mut self,
        rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
        next: Seq,
        random: [u8; 64],
    ) -> Result<Vec<Row>, LoadError> {
        let vault = Arc::clone(&self.options.vault);
        let mut sealer = Sealer { vault: &vault, entropy: Entropy::new(random) };
        let mut again = Vec::new();
        for (key, value) in rows {
            let name_of = |account| self.account(account).map(|account| account.name.clone());
            match rows::read(&key, &value, &mut sealer, name_of) {
                Ok(Read::Counters(counters)) => self.counters = counters,
                Ok(Read::Account(account)) => self.put_account(Arc::new(account)),
                Ok(Read::Remembered(key, entry)) => self.remembered.put(key, entry),
                Ok(Read::Serial(account, next)) => self.serials.set(account, Some(next)),
                Ok(Read::Token(token)) => self.put_token(Arc::new(token)),
                Ok(Read::Subscription(sub, old)) => {
                    again.extend(self.load_subscription(*sub, old, next, &mut sealer));
                }
                Ok(Read::Foreign) => {}
                Err(source) => return Err(LoadError { key, source }),
            }
        }
        Ok(again)
    }

    fn load_subscription(
        &mut self,
        mut sub: Subscription,
        old: bool,
        next: Seq,
        sealer: &mut Sealer<'_>,
    ) -> Option<Row> {
        let mask = self.mask(self.account(sub.account)?, &sub);
        let changed = sub.epochs.last().is_none_or(|last| last.mask != mask);
        if changed {
            sub.begin_epoch(next, mask, Seq(0));
        }
        let row = (old || changed).then(|| rows::subscription(&sub, sealer));
        self.put_subscription(Arc::new(sub));
        row
    }

    /// One hash look-up.
    #[must_use]
    pub fn account_key(&self, name: &AccountName) -> Option<AccountKey> {
        self.keys.get(name).copied()
    }

    #[must_use]
    pub fn account(&self, key: AccountKey) -> Option<&Arc<Account>> {
        self.accounts.get(&key).map(|entry| &entry.account)
    }

    /// Accounts in the order in which they were made, from the one after `after`.
    pub fn accounts_after(&self, after: Option<AccountKey>) -> impl Iterator<Item = &Arc<Account>> {
        let from = after.map_or(AccountKey(0), |key| AccountKey(key.0.saturating_add(1)));
        self.accounts.range(from..).map(|(_, entry)| &entry.account)
    }

    #[must_use]
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    #[must_use]
    pub fn subscription(&self, key: SubscriptionKey) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&key)
    }

    #[must_use]
    pub fn subscription_by_id(&self, account: AccountKey, id: &SubscriptionId) -> Option<&Arc<Subscription>> {
        let subscriptions = &self.accounts.get(&account)?.subscriptions;
        let place = subscriptions.binary_search_by(|sub| sub.id.cmp(id)).ok()?;
        subscriptions.get(place)
    }

    /// All subscriptions of an account, by id.
    #[must_use]
    pub fn subscriptions_of(&self, account: AccountKey) -> &[Arc<Subscription>] {
        self.accounts.get(&account).map_or(&[], |entry| &entry.subscriptions)
    }

    /// The token that has this digest. One hash look-up: the digest of a guess says nothing of how near
    /// the guess was, so that the time it takes tells nothing.
    #[must_use]
    pub fn token(&self, digest: &TokenDigest) -> Option<&Arc<Token>> {
        self.tokens.get(digest)
    }

    /// All tokens of an account, by id.
    #[must_use]
    pub fn tokens_of(&self, account: AccountKey) -> &[Arc<Token>] {
        self.accounts.get(&account).map_or(&[], |entry| &entry.tokens)
    }

    /// What was asked for by the request of this key, if it was answered in the last day.
    #[must_use]
    pub fn answered(&self, key: RequestKey, now: UnixMillis) -> Option<RequestDigest> {
        self.remembered.get(key, now).map(|entry| entry.request)
    }

    /// The answer that a row of [`answer_key`](super::answer_key) holds.
    ///
    /// # Errors
    /// A row that is damaged, or was sealed with another key.
    pub fn open_answer(&self, key: RequestKey, value: &[u8]) -> Result<Vec<u8>, RowError> {
        remembered::open(&self.options.vault, key, value)
    }

    /// Whether a flag is on for an account, by its own setting or by default. `None`: no such flag.
    #[must_use]
    pub fn feature(&self, account: Option<AccountKey>, flag: &str) -> Option<bool> {
        let own = account.and_then(|key| self.account(key)?.features.get(flag).copied());
        (flag == FLAG_WEBHOOKS).then(|| own.unwrap_or(self.options.webhooks_enabled))
    }

    /// The whole index, for the start. Afterwards [`Index::with`] follows each installed change.
    #[must_use]
    pub fn index(&self, placement: impl Into<Placement>) -> Index {
        let parts = self.accounts.iter().map(|(key, entry)| (*key, entry.subscriptions.as_slice()));
        Index::build(placement, parts)
    }

    /// Makes a plan true. Call it when [`Plan::rows`] are durable, and before the next plan is made.
    pub fn install(&mut self, plan: Plan) -> Changed {
        debug_assert_eq!(plan.generation, self.generation, "a plan outlived another's installation");
        self.generation += 1;
        self.counters = plan.counters;
        self.remembered.install(plan.memory);
        for (account, next) in plan.serials {
            self.serials.set(account, next);
        }
        // What goes is taken out before what comes is put in: an account's going takes its subscriptions.
        for change in &plan.changed.subscriptions {
            if let (Some(before), None) = (&change.before, &change.after) {
                self.drop_subscription(before);
            }
        }
        for change in &plan.changed.tokens {
            if let Some(before) = &change.before {
                self.drop_token(before);
            }
        }
        for change in &plan.changed.accounts {
            match (&change.before, &change.after) {
                (_, Some(after)) => self.put_account(Arc::clone(after)),
                (Some(before), None) => {
                    self.keys.remove(&before.name);
                    self.accounts.remove(&before.key);
                }
                (None, None) => {}
            }
        }
        for SubscriptionChange { after, .. } in &plan.changed.subscriptions {
            if let Some(after) = after {
                self.put_subscription(Arc::clone(after));
            }
        }
        for change in &plan.changed.tokens {
            if let Some(after) = &change.after {
                self.put_token(Arc::clone(after));
            }
        }
        self.check_invariants();
        plan.changed
    }

    /// What a subscription of this account wants from now on.
    pub(super) fn mask(&self, account: &Account, sub: &Subscription) -> EventMask {
        if sub.status == Status::Inactive {
            return EventMask::NONE;
        }
        let expand =
            |all: EventMask, selector: &String| all.union(&self.options.catalogue.expand_stored(selector));
        let wanted = sub.events.iter().fold(EventMask::NONE, expand);
        let enabled = account.features.get(FLAG_WEBHOOKS).copied().unwrap_or(self.options.webhooks_enabled);
        if enabled { wanted } else { wanted.minus(&self.options.catalogue.gated_mask()) }
    }

    fn put_account(&mut self, account: Arc<Account>) {
        self.keys.insert(account.name.clone(), account.key);
        match self.accounts.get_mut(&account.key) {
            Some(entry) => entry.account = account,
            None => {
                self.accounts
                    .insert(account.key, Entry { account, subscriptions: Vec::new(), tokens: Vec::new() });
            }
        }
    }

    fn put_subscription(&mut self, sub: Arc<Subscription>) {
        let Some(entry) = self.accounts.get_mut(&sub.account) else { return };
        match entry.subscriptions.binary_search_by(|other| other.id.cmp(&sub.id)) {
            Ok(place) => {
                if let Some(slot) = entry.subscriptions.get_mut(place) {
                    *slot = Arc::clone(&sub);
                }
            }
            Err(place) => entry.subscriptions.insert(place, Arc::clone(&sub)),
        }
        self.subscriptions.insert(sub.key, sub);
    }

    fn drop_subscription(&mut self, sub: &Subscription) {
        self.subscriptions.remove(&sub.key);
        if let Some(entry) = self.accounts.get_mut(&sub.account)
            && let Ok(place) = entry.subscriptions.binary_search_by(|other| other.id.cmp(&sub.id))
        {
            entry.subscriptions.remove(place);
        }
    }

    fn put_token(&mut self, token: Arc<Token>) {
        let Some(entry) = self.accounts.get_mut(&token.account) else { return };
        let place = entry.tokens.partition_point(|other| other.id < token.id);
        entry.tokens.insert(place, Arc::clone(&token));
        self.tokens.insert(token.digest, token);
    }

    fn drop_token(&mut self, token: &Token) {
        self.tokens.remove(&token.digest);
        if let Some(entry) = self.accounts.get_mut(&token.account) {
            entry.tokens.retain(|other| other.id != token.id);
        }
    }

    /// The three tables tell the same story.
    fn check_invariants(&self) {
        debug_assert_eq!(self.keys.len(), self.accounts.len());
        debug_assert!(self.accounts.len() < self.counters.account as usize);
        debug_assert!((self.subscriptions.len() as u64) < self.counters.subscription);
    }
}

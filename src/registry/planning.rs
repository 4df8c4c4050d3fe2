//! Deciding a change: what will be true, and the rows that say so. Nothing is mutated here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::change::{AccountChange, Change, ChangeError, Changed, Plan, Row, SubscriptionChange};
use super::draft::{Draft, Field, NAME_CHARS_MAX, Patch};
use super::drawing::Draw;
use super::entropy::{Entropy, Sealer};
use super::field::{Errors, FieldError, nearest};
use super::origin::Asked;
use super::remembered::Memory;
use super::state::{Account, Entry, FLAGS, Registry, SUBSCRIPTIONS_PER_ACCOUNT_MAX};
use super::token::{TOKENS_PER_ACCOUNT_MAX, Token, TokenDigest, TokenDraft};
use super::{headers, id, rows};
use crate::model::subscription::DisabledReason;
use crate::model::{
    AccountKey, AccountName, Secrets, Seq, SigningKeys, Status, Subscription, SubscriptionId,
    SubscriptionKey, UnixMillis,
};

/// Random bytes of a new secret.
const SECRET_LEN: usize = 32;

/// A new generation of keys.
fn signing_keys(entropy: &mut Entropy) -> SigningKeys {
    SigningKeys { secret: entropy.draw::<SECRET_LEN>().into(), seed: entropy.draw() }
}

/// The circumstances of a plan.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// The next event's seq: where a change takes effect.
    next: Seq,
    /// Everything below has been dropped from the log.
    floor: Seq,
    pub now: UnixMillis,
}

impl Registry {
    /// Accounts made by their first event: those of `names` that are not there yet, each once.
    /// Where the numbers have run out, an account is missing from the plan.
    pub fn plan_accounts(&self, names: &[AccountName], now: UnixMillis) -> Plan {
        let mut draw = self.draw();
        let mut seen = HashSet::new();
        for name in names {
            if self.account_key(name).is_none()
                && seen.insert(name)
                && let Ok(account) = new_account(&mut draw, name, now)
            {
                draw.account(None, account);
            }
        }
        self.finish(draw)
    }

    /// Decides `change`. `next` is the seq of the next event, `floor` the lowest that the log still has.
    ///
    /// # Errors
    /// See [`ChangeError`]; `Store` never comes from here.
    pub fn plan(
        &self,
        asked: impl Into<Asked>,
        next: Seq,
        floor: Seq,
        now: UnixMillis,
        random: [u8; 64],
    ) -> Result<Plan, ChangeError> {
        let at = At { next, floor, now };
        let sealer = &mut Sealer { vault: &self.options.vault, entropy: Entropy::new(random) };
        let mut draw = self.draw();
        let Asked { change, origin } = asked.into();
        match change {
            Change::Nothing => {}
            Change::Note(note) => draw.notes.push(note),
            Change::CreateSubscription { account, draft } => {
                self.create(&mut draw, &account, draft, at, sealer)?;
            }
            Change::PatchSubscription { account, id, patch, if_match } => {
                let before = self.find(&account, &id, if_match)?;
                self.patch(&mut draw, before, patch, at, sealer)?;
            }
            Change::DeleteSubscription { account, id, if_match } => {
                draw.no_subscription(self.find(&account, &id, if_match)?);
            }
            Change::RotateSecret { account, id, overlap, if_match } => {
                let before = self.find(&account, &id, if_match)?;
                let mut after = Subscription::clone(before);
                after.secrets.rotate(signing_keys(&mut sealer.entropy), at.now, overlap);
                touch(&mut after, at);
                draw.subscription(Some(before), after, sealer);
            }
            Change::Disable { key, version, reason, announce } => {
                self.disable(&mut draw, (key, version), (reason, announce), at, sealer)?;
            }
            Change::Recovered { key } => self.recovered(&mut draw, key, at, sealer)?,
            Change::PutAccount { account, name } => self.put(&mut draw, &account, name, at)?,
            Change::MakeAccount { account } => {
                if self.account_key(&account).is_none() {
                    let made = new_account(&mut draw, &account, at.now)?;
                    draw.account(None, made);
                }
            }
            Change::DeleteAccount { account } => {
                let entry = self.entry(&account).ok_or(ChangeError::NotFound)?;
                // From the end, so that taking them out one by one moves nothing.
                entry.subscriptions.iter().rev().for_each(|sub| draw.no_subscription(sub));
                entry.tokens.iter().for_each(|token| draw.no_token(token));
                draw.rows.push(Row { key: rows::account_key(entry.account.key), value: None });
                let change = AccountChange { before: Some(Arc::clone(&entry.account)), after: None };
                draw.changed.accounts.push(change);
            }
            Change::SetFeature { account, flag, enabled } => {
                self.set_feature(&mut draw, &account, flag, enabled, at, sealer)?;
            }
            Change::CreateToken { account, draft, digest } => {
                self.create_token(&mut draw, &account, draft, digest, at, &mut sealer.entropy)?;
            }
            Change::DeleteToken { account, id } => {
                let entry = self.entry(&account).ok_or(ChangeError::NotFound)?;
                let token = entry.tokens.iter().find(|token| token.id == id);
                draw.no_token(token.ok_or(ChangeError::NotFound)?);
            }
            Change::TokenUsed { digest, at } => {
                if let Some(before) = self.token(&digest)
                    && before.last_used_at.is_none_or(|last| last < at)
                {
                    draw.token(Some(before), Token { last_used_at: Some(at), ..Token::clone(before) });
                }
            }
        }
        self.note(&mut draw, &origin, at);
        self.remember(&mut draw, &origin, at, sealer)?;
        Ok(self.finish(draw))
    }

    pub(super) fn draw(&self) -> Draw {
        Draw {
            counters: self.counters,
            changed: Changed::default(),
            rows: Vec::new(),
            event: None,
            memory: Memory::default(),
            notes: Vec::new(),
            serials: Vec::new(),
        }
    }

    pub(super) fn finish(&self, mut draw: Draw) -> Plan {
        if draw.counters != self.counters {
            draw.rows.push(rows::counters(draw.counters));
        }
        let Draw { counters, changed, rows, event, memory, serials, .. } = draw;
        Plan { generation: self.generation, rows, changed, counters, event, memory, serials }
    }

    fn entry(&self, account: &AccountName) -> Option<&Entry> {
        self.accounts.get(&self.account_key(account)?)
    }

    fn find(
        &self,
        account: &AccountName,
        id: &SubscriptionId,
        if_match: Option<u64>,
    ) -> Result<&Arc<Subscription>, ChangeError> {
        let key = self.account_key(account).ok_or(ChangeError::NotFound)?;
        let sub = self.subscription_by_id(key, id).ok_or(ChangeError::NotFound)?;
        match if_match {
            Some(version) if version != sub.version => {
                Err(ChangeError::VersionMismatch { present: sub.version })
            }
            _ => Ok(sub),
        }
    }

    fn create(
        &self,
        draw: &mut Draw,
        account: &AccountName,
        draft: Draft,
        at: At,
        sealer: &mut Sealer<'_>,
    ) -> Result<(), ChangeError> {
        let owner = match self.entry(account) {
            Some(entry) if entry.subscriptions.len() >= SUBSCRIPTIONS_PER_ACCOUNT_MAX => {
                return Err(ChangeError::TooManySubscriptions { max: SUBSCRIPTIONS_PER_ACCOUNT_MAX });
            }
            Some(entry) => Account::clone(&entry.account),
            None => {
                let made = new_account(draw, account, at.now)?;
                draw.account(None, made.clone());
                made
            }
        };
        let id = id::subscription_id(at.now, sealer.entropy.draw())
            .filter(|id| self.subscription_by_id(owner.key, id).is_none())
            .ok_or(ChangeError::Full)?;
        let defaults = &self.options.delivery;
        let mut sub = Subscription {
            key: draw.counters.take_subscription()?,
            id,
            account: owner.key,
            account_name: account.clone(),
            name: draft.name,
            callback_url: draft.callback_url,
            events: draft.events,
            filter: draft.filter,
            headers: draft.headers,
            description: draft.description,
            status: draft.status,
            disabled_reason: None,
            delivery: draft.delivery.apply(defaults, defaults),
            secrets: Secrets::new(signing_keys(&mut sealer.entropy)),
            client_identity: draft.client_identity,
            announced: false,
            created_at: at.now,
            updated_at: at.now,
            version: 1,
            epochs: Vec::new(),
        };
        let mask = self.mask(&owner, &sub);
        sub.begin_epoch(at.next, mask, at.floor);
        draw.subscription(None, sub, sealer);
        Ok(())
    }

    fn create_token(
        &self,
        draw: &mut Draw,
        account: &AccountName,
        draft: TokenDraft,
        digest: TokenDigest,
        at: At,
        entropy: &mut Entropy,
    ) -> Result<(), ChangeError> {
        let account = match self.entry(account) {
            Some(entry) if entry.tokens.len() >= TOKENS_PER_ACCOUNT_MAX => {
                return Err(ChangeError::TooManyTokens { max: TOKENS_PER_ACCOUNT_MAX });
            }
            Some(entry) => entry.account.key,
            None => {
                let made = new_account(draw, account, at.now)?;
                let key = made.key;
                draw.account(None, made);
                key
            }
        };
        let token = Token {
            id: id::token_id(at.now, entropy.draw()),
            account,
            name: draft.name,
            kind: draft.kind,
            role: draft.role,
            platform_user: draft.platform_user,
            events_write: draft.events_write,
            digest,
            created_at: at.now,
            expires_at: draft.expires_at,
            last_used_at: None,
        };
        draw.token(None, token);
        Ok(())
    }

    fn patch(
        &self,
        draw: &mut Draw,
        before: &Arc<Subscription>,
        patch: Patch,
        at: At,
        sealer: &mut Sealer<'_>,
    ) -> Result<(), ChangeError> {
        let mut after = Subscription::clone(before);
        if let Some(given) = patch.headers {
            let mut errors = Errors::default();
            let headers = headers::unmask(&given, &before.headers, &mut errors);
            after.headers = errors.into_result(Some(headers)).map_err(ChangeError::Invalid)?;
        }
        after.name = patch.name.unwrap_or(after.name);
        after.callback_url = patch.callback_url.unwrap_or(after.callback_url);
        after.events = patch.events.unwrap_or(after.events);
        after.description = patch.description.unwrap_or(after.description);
        after.filter = match patch.filter {
            Field::Absent => after.filter,
            Field::Default => None,
            Field::Set(filter) => Some(filter),
        };
        match patch.client_identity {
            Field::Absent => {}
            Field::Default => after.client_identity = None,
            Field::Set(given) => {
                let stored = before.client_identity.as_deref();
                let identity = given.complete(stored).map_err(|error| ChangeError::Invalid(vec![error]))?;
                after.client_identity = Some(Arc::new(identity));
            }
        }
        after.delivery = patch.delivery.apply(&before.delivery, &self.options.delivery);
        if let Some(status) = patch.status {
            after.status = status;
            if status == Status::Active {
                after.disabled_reason = None;
            }
        }
        if after == **before {
            let same = Some(Arc::clone(before));
            draw.changed.subscriptions.push(SubscriptionChange { before: same.clone(), after: same });
            return Ok(());
        }
        let owner = self.account(before.account).ok_or(ChangeError::NotFound)?;
        let mask = self.mask(owner, &after);
        after.begin_epoch(at.next, mask, at.floor);
        touch(&mut after, at);
        draw.subscription(Some(before), after, sealer);
        Ok(())
    }

    fn disable(
        &self,
        draw: &mut Draw,
        (key, version): (SubscriptionKey, u64),
        (reason, announce): (DisabledReason, bool),
        at: At,
        sealer: &mut Sealer<'_>,
    ) -> Result<(), ChangeError> {
        let before = self.subscription(key).ok_or(ChangeError::NotFound)?;
        if before.status == Status::Inactive || before.version != version {
            return Ok(());
        }
        let mut after = Subscription::clone(before);
        after.status = Status::Inactive;
        after.disabled_reason = Some(reason);
        let owner = self.account(before.account).ok_or(ChangeError::NotFound)?;
        let mask = self.mask(owner, &after);
        after.begin_epoch(at.next, mask, at.floor);
        touch(&mut after, at);
        if announce {
            draw.event = self.disabled_event(&after, reason, at.now);
            after.announced |= draw.event.is_some();
        }
        draw.subscription(Some(before), after, sealer);
        Ok(())
    }

    /// The record changes in what nobody sees: it is no new version.
    fn recovered(
        &self,
        draw: &mut Draw,
        key: SubscriptionKey,
        at: At,
        sealer: &mut Sealer<'_>,
    ) -> Result<(), ChangeError> {
        let before = self.subscription(key).ok_or(ChangeError::NotFound)?;
        if before.announced && before.status == Status::Active {
            let mut after = Subscription::clone(before);
            after.announced = false;
            draw.event = self.recovered_event(&after, at.now);
            draw.subscription(Some(before), after, sealer);
        }
        Ok(())
    }

    fn put(
        &self,
        draw: &mut Draw,
        account: &AccountName,
        title: Option<String>,
        at: At,
    ) -> Result<(), ChangeError> {
        if title.as_ref().is_some_and(|title| title.chars().count() > NAME_CHARS_MAX) {
            let message = format!("must be at most {NAME_CHARS_MAX} characters");
            return Err(ChangeError::Invalid(vec![FieldError::new("name", message)]));
        }
        let before = self.entry(account).map(|entry| &entry.account);
        let mut after = match before {
            Some(before) => Account::clone(before),
            None => new_account(draw, account, at.now)?,
        };
        after.title = title;
        draw.account(before, after);
        Ok(())
    }

    fn set_feature(
        &self,
        draw: &mut Draw,
        account: &AccountName,
        flag: String,
        enabled: bool,
        at: At,
        sealer: &mut Sealer<'_>,
    ) -> Result<(), ChangeError> {
        if !FLAGS.contains(&flag.as_str()) {
            let near = nearest(&flag, &FLAGS).map(|near| format!("; did you mean {near:?}?"));
            let message = format!("is no known feature flag{}", near.unwrap_or_default());
            return Err(ChangeError::Invalid(vec![FieldError::new("flag", message)]));
        }
        let entry = self.entry(account);
        let mut after = match entry {
            Some(entry) => Account::clone(&entry.account),
            None => new_account(draw, account, at.now)?,
        };
        after.features.insert(flag, enabled);
        for before in entry.map_or(&[][..], |entry| &entry.subscriptions) {
            let mask = self.mask(&after, before);
            if before.epochs.last().is_none_or(|last| last.mask != mask) {
                let mut sub = Subscription::clone(before);
                sub.begin_epoch(at.next, mask, at.floor);
                draw.subscription(Some(before), sub, sealer);
            }
        }
        draw.account(entry.map(|entry| &entry.account), after);
        Ok(())
    }
}

fn new_account(draw: &mut Draw, name: &AccountName, now: UnixMillis) -> Result<Account, ChangeError> {
    let key: AccountKey = draw.counters.take_account()?;
    Ok(Account { key, name: name.clone(), title: None, created_at: now, features: BTreeMap::new() })
}

fn touch(sub: &mut Subscription, at: At) {
    sub.secrets.forget_expired(at.now);
    sub.version += 1;
    sub.updated_at = at.now;
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;

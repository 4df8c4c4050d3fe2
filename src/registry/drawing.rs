//! A plan that is being made: every record that changes, with its row.

use std::sync::Arc;

use super::audit::Note;
use super::audit_row::NextSerials;
use super::change::{AccountChange, Changed, Counters, Row, SubscriptionChange, TokenChange};
use super::entropy::Sealer;
use super::remembered::Memory;
use super::state::Account;
use super::token::Token;
use super::{rows, token_row};
use crate::model::{NewEvent, Subscription};

/// A plan that is being made.
pub(super) struct Draw {
    pub counters: Counters,
    pub changed: Changed,
    pub rows: Vec<Row>,
    pub event: Option<NewEvent>,
    pub memory: Memory,
    pub notes: Vec<Note>,
    pub serials: NextSerials,
}

impl Draw {
    pub fn account(&mut self, before: Option<&Arc<Account>>, after: Account) {
        self.rows.push(rows::account(&after));
        self.changed.accounts.push(AccountChange { before: before.cloned(), after: Some(Arc::new(after)) });
    }

    pub fn subscription(
        &mut self,
        before: Option<&Arc<Subscription>>,
        after: Subscription,
        sealer: &mut Sealer<'_>,
    ) {
        self.rows.push(rows::subscription(&after, sealer));
        let change = SubscriptionChange { before: before.cloned(), after: Some(Arc::new(after)) };
        self.changed.subscriptions.push(change);
    }

    pub fn no_subscription(&mut self, before: &Arc<Subscription>) {
        self.rows.push(Row { key: rows::subscription_key(before.key), value: None });
        let change = SubscriptionChange { before: Some(Arc::clone(before)), after: None };
        self.changed.subscriptions.push(change);
    }

    pub fn token(&mut self, before: Option<&Arc<Token>>, after: Token) {
        self.rows.push(token_row::row(&after));
        self.changed.tokens.push(TokenChange { before: before.cloned(), after: Some(Arc::new(after)) });
    }

    pub fn no_token(&mut self, before: &Arc<Token>) {
        self.rows.push(Row { key: token_row::key(before.account, &before.id), value: None });
        self.changed.tokens.push(TokenChange { before: Some(Arc::clone(before)), after: None });
    }
}

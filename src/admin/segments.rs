//! The variable segments of a path. What cannot be an id is the id of nothing: 404.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::problem::Problem;
use super::state::Admin;
use crate::model::{AccountName, EventId, Subscription, SubscriptionId};
use crate::registry::Account;

pub struct Segments(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl Segments {
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The account's name, where it is to be made if it is not there.
    pub fn new_account(&self) -> Result<AccountName, Problem> {
        AccountName::parse(self.get("account")).map_err(|error| Problem::field("account", error.to_string()))
    }

    pub fn account_name(&self) -> Result<AccountName, Problem> {
        AccountName::parse(self.get("account")).map_err(|_| Problem::not_found())
    }

    /// The account, which must be there.
    pub fn account(&self, admin: &Admin) -> Result<Arc<Account>, Problem> {
        let name = self.account_name()?;
        let registry = admin.registry();
        let account = registry.account_key(&name).and_then(|key| registry.account(key));
        account.cloned().ok_or_else(Problem::not_found)
    }

    pub fn subscription_id(&self) -> Result<SubscriptionId, Problem> {
        SubscriptionId::parse(self.get("subscription")).map_err(|_| Problem::not_found())
    }

    /// The subscription, which must be there and this account's.
    pub fn subscription(&self, admin: &Admin) -> Result<Arc<Subscription>, Problem> {
        let (name, id) = (self.account_name()?, self.subscription_id()?);
        let registry = admin.registry();
        let found = registry.account_key(&name).and_then(|key| registry.subscription_by_id(key, &id));
        found.cloned().ok_or_else(Problem::not_found)
    }

    pub fn event_id(&self) -> Result<EventId, Problem> {
        EventId::parse(self.get("event")).map_err(|_| Problem::not_found())
    }
}

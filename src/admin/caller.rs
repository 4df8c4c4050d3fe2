//! In whose name a handler acts: what it hands on with every change that it asks for.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::idempotency::Once;
use super::problem::Problem;
use crate::model::Subscription;
use crate::registry::access::Principal;
use crate::registry::{Action, Actor, Asked, Change, Origin, note_of};

#[derive(Clone)]
pub struct Caller {
    pub actor: Actor,
    /// The request is to be done once only.
    pub once: Option<Arc<Once>>,
}

impl Caller {
    pub fn new(principal: &Principal) -> Self {
        Self { actor: principal.actor(), once: None }
    }

    /// A change in their name.
    pub fn asks(&self, change: Change) -> Asked {
        Asked { change, origin: Origin { actor: self.actor.clone(), remember: None } }
    }

    /// A line of the audit trail: what they do to a subscription.
    pub fn notes(&self, sub: &Subscription, action: Action) -> Asked {
        self.asks(Change::Note(note_of(sub, action, Vec::new())))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // It is there wherever somebody was let through.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::unauthorized("send Authorization: Bearer <token>"))
    }
}

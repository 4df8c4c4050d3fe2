//! In whose name a handler acts: what it hands on with every change that it asks for.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::idempotency::Once;
use super::problem::Problem;
use crate::registry::Actor;
use crate::registry::access::Principal;

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
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // It is there wherever somebody was let through.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::unauthorized("send Authorization: Bearer <token>"))
    }
}

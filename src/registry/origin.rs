//! Where a change comes from: who asked for it, and what is to be remembered of the answer.
//!
//! It travels with the change to the log's writer, because what is noted of a change must be durable
//! exactly where the change is.

use std::fmt;
use std::sync::Arc;

use super::change::{Change, Changed};
use super::words::Word;
use crate::model::AccountKey;

/// What kind of actor changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    Operator,
    /// The holder of a token of an account.
    Token,
    /// Somebody whom the platform vouches for.
    Jwt,
    /// Nobody: the engine decided it.
    Engine,
}

impl Word for ActorKind {
    const TABLE: &'static [(Self, &'static str, u8)] = &[
        (Self::Operator, "operator", 1),
        (Self::Token, "token", 2),
        (Self::Jwt, "jwt", 3),
        (Self::Engine, "engine", 4),
    ];
}

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    /// A token's id or the subject of a JWT; empty for the others, of whom there is one.
    pub id: Box<str>,
    /// For people. As it was at that time.
    pub name: Box<str>,
}

impl Actor {
    #[must_use]
    pub fn engine() -> Self {
        Self { kind: ActorKind::Engine, id: "".into(), name: "".into() }
    }

    #[must_use]
    pub fn operator() -> Self {
        Self { kind: ActorKind::Operator, id: "".into(), name: "".into() }
    }
}

/// SHA-256 over who asks and the `Idempotency-Key` that they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub [u8; 32]);

/// SHA-256 over what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestDigest(pub [u8; 32]);

/// The answer in the form in which it is remembered; `None`: it is not worth it.
pub type Answering = Arc<dyn Fn(&Changed) -> Option<Vec<u8>> + Send + Sync>;

/// That an answer is to be remembered with the change, so that the same request changes nothing again.
#[derive(Clone)]
pub struct Remember {
    pub key: RequestKey,
    pub request: RequestDigest,
    /// Whose bound it counts for; `None`: the operator's.
    pub account: Option<AccountKey>,
    pub answer: Answering,
}

impl fmt::Debug for Remember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remember").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Where a change comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    pub actor: Actor,
    pub remember: Option<Remember>,
}

/// A change with where it comes from.
#[derive(Clone, Debug)]
pub struct Asked {
    pub change: Change,
    pub origin: Origin,
}

impl From<Change> for Asked {
    /// The engine itself asks.
    fn from(change: Change) -> Self {
        Self { change, origin: Origin { actor: Actor::engine(), remember: None } }
    }
}

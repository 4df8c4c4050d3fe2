//! The registry: accounts, their subscriptions and their feature flags, and the rules for changing them.
//!
//! Pure. A change goes three ways on purpose: [`Registry::plan`] decides and mutates nothing, the log
//! makes the plan's rows durable, [`Registry::install`] makes it true. So nothing is ever answered, routed
//! or shown that a power cut could take back. What people send is parsed once, with every error at once
//! ([`Draft`], [`Patch`]); a value that exists is valid.
//!
//! Deliberately absent: writing rows (the log does), and routing (`route`).

pub mod access;
mod accounting;
mod audit;
mod audit_list;
mod audit_row;
mod change;
mod draft;
mod drawing;
mod entropy;
mod field;
mod headers;
mod id;
mod identity;
mod operational;
mod origin;
mod planning;
mod remembered;
mod rotation;
mod rows;
mod selectors;
mod state;
mod subscription_row;
mod token;
mod token_row;
mod vault;
mod vouched;
mod words;

pub use audit::{Action, AuditEntry, Note, Target, TargetKind, note_of};
pub use audit_list::{AuditPage, AuditQuery, KeyValue, OrderedRows, audit_page, audit_range};
pub use change::{AccountChange, Change, ChangeError, Changed, Plan, Row, SubscriptionChange, TokenChange};
pub use draft::{
    DESCRIPTION_CHARS_MAX, DeliveryPatch, Draft, EVENTS_LEN_MAX, Field, MAX_IN_FLIGHT_MAX, NAME_CHARS_MAX,
    Patch, RATE_PER_SECOND_MAX, RATE_PER_SECOND_MIN, TIMEOUT_MS_MAX,
};
pub use field::{ERRORS_MAX, FieldError};
pub use headers::{HEADER_NAME_LEN_MAX, HEADER_VALUE_LEN_MAX, HEADERS_MAX, MASKED};
pub use id::{secret_text, subscription_id};
pub use identity::{CERTIFICATE_LEN_MAX, CLIENT_KEY_LEN_MAX, GivenIdentity};
pub use origin::{Actor, ActorKind, Answering, Asked, Origin, Remember, RequestDigest, RequestKey};
pub use remembered::{ANSWER_LEN_MAX, REMEMBERED_FOR};
pub use rotation::{OVERLAP_DEFAULT, OVERLAP_SECS_MAX, parse_overlap};
pub use rows::{LoadError, ROW_LEN_MAX, RowError, TAG_UNLOADED, holds_sealed, verify as verify_row};
pub use selectors::Selectors;
pub use state::{Account, FLAG_WEBHOOKS, FLAGS, Registry, RegistryOptions, SUBSCRIPTIONS_PER_ACCOUNT_MAX};
pub use token::{
    Role, SCOPE_EVENTS_WRITE, TOKENS_PER_ACCOUNT_MAX, Token, TokenDigest, TokenDraft, TokenKind,
};
pub use vault::{KEY_LEN, Vault};
pub use vouched::{Claims, NotVouched, Vouched};
pub use words::Word;

/// Where the answer of a remembered request lies in the family `meta`: for [`Registry::open_answer`].
#[must_use]
pub fn answer_key(key: RequestKey) -> Vec<u8> {
    remembered::answer_key(key)
}

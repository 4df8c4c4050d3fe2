//! What people send to make or change a subscription, parsed with every error at once.
//!
//! A [`Patch`] is a JSON merge patch (RFC 7396): what is absent stays, `null` removes, which for an
//! optional field means back to its default. What has no default (`name`, `callbackUrl`, `events`,
//! `status`) cannot be removed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::field::{Errors, FieldError, Object, integer, kind, quoted, text};
use super::headers::{self, GivenHeader};
use super::identity::{self, GivenIdentity};
use super::selectors::Selectors;
use super::words::Word;
use crate::model::{
    CallbackUrl, ClientIdentity, DeliveryOptions, Filter, FilterError, OnBlocked, Ordering, SignatureScheme,
    Status,
};

/// Characters at most in a subscription's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Characters at most in a description.
pub const DESCRIPTION_CHARS_MAX: usize = 2000;
/// Selectors at most in `events`: as many as there can be types.
pub const EVENTS_LEN_MAX: usize = 256;
/// The longest deadline of one attempt.
pub const TIMEOUT_MS_MAX: u32 = 300_000;
/// Requests at once at most, to one subscription.
pub const MAX_IN_FLIGHT_MAX: u32 = 1024;
/// The slowest rate: one attempt in about a quarter of an hour.
pub const RATE_PER_SECOND_MIN: f64 = 0.001;
pub const RATE_PER_SECOND_MAX: f64 = 100_000.0;

const KNOWN: [&str; 9] = [
    "callbackUrl",
    "name",
    "events",
    "headers",
    "description",
    "status",
    "delivery",
    "clientCertificate",
    "filter",
];
const READ_ONLY: [&str; 7] =
    ["id", "accountId", "disabledReason", "health", "createdAt", "updatedAt", "version"];
const DELIVERY_KNOWN: [&str; 6] =
    ["timeoutMs", "maxInFlight", "ratePerSecond", "ordering", "onBlocked", "signature"];

/// What a document says of an optional field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Nothing: it stays as it is.
    #[default]
    Absent,
    /// `null`: back to the default.
    Default,
    Set(T),
}

impl<T> Field<T> {
    /// The value that is set.
    pub fn set(self) -> Option<T> {
        match self {
            Self::Absent | Self::Default => None,
            Self::Set(value) => Some(value),
        }
    }

    /// The value after this change.
    pub fn apply(self, present: T, default: T) -> T {
        match self {
            Self::Absent => present,
            Self::Default => default,
            Self::Set(value) => value,
        }
    }
}

/// Changes to [`DeliveryOptions`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryPatch {
    pub timeout: Field<Duration>,
    pub max_in_flight: Field<u32>,
    /// `Set(None)` is `null`, which here is a value: no limit.
    pub rate_per_second: Field<Option<f64>>,
    pub ordering: Field<Ordering>,
    pub on_blocked: Field<OnBlocked>,
    pub signature: Field<SignatureScheme>,
}

impl DeliveryPatch {
    /// Everything back to its default.
    fn reset() -> Self {
        Self {
            timeout: Field::Default,
            max_in_flight: Field::Default,
            rate_per_second: Field::Default,
            ordering: Field::Default,
            on_blocked: Field::Default,
            signature: Field::Default,
        }
    }

    #[must_use]
    pub fn apply(&self, present: &DeliveryOptions, default: &DeliveryOptions) -> DeliveryOptions {
        DeliveryOptions {
            timeout: self.timeout.apply(present.timeout, default.timeout),
            max_in_flight: self.max_in_flight.apply(present.max_in_flight, default.max_in_flight),
            rate_per_second: self.rate_per_second.apply(present.rate_per_second, default.rate_per_second),
            ordering: self.ordering.apply(present.ordering, default.ordering),
            on_blocked: self.on_blocked.apply(present.on_blocked, default.on_blocked),
            signature: self.signature.apply(present.signature, default.signature),
        }
    }
}

/// A change to a subscription; `None` is "stays as it is".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    pub name: Option<String>,
    pub callback_url: Option<CallbackUrl>,
    /// Canonical selectors, none twice.
    pub events: Option<Vec<String>>,
    pub headers: Option<Vec<GivenHeader>>,
    pub description: Option<String>,
    pub status: Option<Status>,
    pub delivery: DeliveryPatch,
    /// `Default` removes it.
    pub client_identity: Field<GivenIdentity>,
    /// A new one takes the place of the old one whole: merging two conditions member by member, as RFC 7396
    /// has it for objects, would make a third that nobody wrote.
    pub filter: Field<Arc<Filter>>,
}

impl Patch {
    /// # Errors
    /// All that is wrong, at most [`super::ERRORS_MAX`].
    pub fn parse(value: &Value, selectors: &dyn Selectors) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let patch = Self::read(value, selectors, true, &mut errors);
        errors.into_result(patch)
    }

    fn read(value: &Value, selectors: &dyn Selectors, nulls: bool, errors: &mut Errors) -> Option<Self> {
        let object = Object::of(value, "", errors)?;
        object.only(&KNOWN, &READ_ONLY, errors);
        let reset = |value: &Value| nulls && value.is_null();
        Some(Self {
            name: object.get("name").and_then(|value| read_name(value, errors)),
            callback_url: object.get("callbackUrl").and_then(|value| read_url(value, errors)),
            events: object.get("events").and_then(|value| read_events(value, selectors, errors)),
            headers: object.get("headers").and_then(|value| {
                if reset(value) { Some(Vec::new()) } else { headers::parse(value, errors) }
            }),
            description: object.get("description").and_then(|value| {
                if reset(value) {
                    return Some(String::new());
                }
                text(value, "description", 0, DESCRIPTION_CHARS_MAX, errors)
            }),
            status: object.get("status").and_then(|value| read_word(value, "status", errors)),
            delivery: match object.get("delivery") {
                None => DeliveryPatch::default(),
                Some(value) if reset(value) => DeliveryPatch::reset(),
                Some(value) => read_delivery(value, nulls, errors),
            },
            client_identity: match object.get("clientCertificate") {
                None => Field::Absent,
                // A new subscription may say that it has none.
                Some(Value::Null) => Field::Default,
                Some(value) => identity::parse(value, errors).map_or(Field::Absent, Field::Set),
            },
            filter: match object.get("filter") {
                None => Field::Absent,
                // A new subscription may say that it has none.
                Some(Value::Null) => Field::Default,
                Some(value) => read_filter(value, errors).map_or(Field::Absent, Field::Set),
            },
        })
    }
}

/// A subscription to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub name: String,
    pub callback_url: CallbackUrl,
    /// Canonical selectors, none twice, at least one.
    pub events: Vec<String>,
    pub headers: Vec<crate::model::CustomHeader>,
    pub description: String,
    pub status: Status,
    /// `Absent` fields take the engine's defaults.
    pub delivery: DeliveryPatch,
    pub client_identity: Option<Arc<ClientIdentity>>,
    pub filter: Option<Arc<Filter>>,
}

impl Draft {
    /// # Errors
    /// All that is wrong, at most [`super::ERRORS_MAX`].
    pub fn parse(value: &Value, selectors: &dyn Selectors) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let draft = Patch::read(value, selectors, false, &mut errors).and_then(|patch| {
            for field in ["callbackUrl", "name", "events"] {
                if value.get(field).is_none() {
                    errors.add(field, "is required");
                }
            }
            let headers = headers::unmask(&patch.headers.unwrap_or_default(), &[], &mut errors);
            let client_identity = match patch.client_identity {
                Field::Absent | Field::Default => None,
                Field::Set(given) => match given.complete(None) {
                    Ok(identity) => Some(Arc::new(identity)),
                    Err(FieldError { field, message }) => {
                        errors.add(field, message);
                        None
                    }
                },
            };
            Some(Self {
                name: patch.name?,
                callback_url: patch.callback_url?,
                events: patch.events?,
                headers,
                description: patch.description.unwrap_or_default(),
                status: patch.status.unwrap_or(Status::Active),
                delivery: patch.delivery,
                client_identity,
                filter: patch.filter.set(),
            })
        });
        errors.into_result(draft)
    }
}

fn read_name(value: &Value, errors: &mut Errors) -> Option<String> {
    let name = text(value, "name", 1, NAME_CHARS_MAX, errors)?;
    if name.chars().any(char::is_control) {
        errors.add("name", "must not hold control characters");
        return None;
    }
    if name.trim().is_empty() {
        errors.add("name", "must not be blank");
        return None;
    }
    Some(name)
}

fn read_url(value: &Value, errors: &mut Errors) -> Option<CallbackUrl> {
    let Value::String(text) = value else {
        errors.add("callbackUrl", format!("must be a string, is {}", kind(value)));
        return None;
    };
    CallbackUrl::parse(text).map_err(|error| errors.add("callbackUrl", error.to_string())).ok()
}

fn read_events(value: &Value, selectors: &dyn Selectors, errors: &mut Errors) -> Option<Vec<String>> {
    let Value::Array(items) = value else {
        errors.add("events", format!("must be an array, is {}", kind(value)));
        return None;
    };
    if items.is_empty() {
        errors.add("events", "must name at least one event type");
        return None;
    }
    if items.len() > EVENTS_LEN_MAX {
        errors.add("events", format!("must be at most {EVENTS_LEN_MAX}, are {}", items.len()));
        return None;
    }
    let mut events = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let field = format!("events[{index}]");
        let Value::String(selector) = item else {
            errors.add(field, format!("must be a string, is {}", kind(item)));
            continue;
        };
        match selectors.canonical(selector) {
            Some(canonical) if events.contains(&canonical) => {}
            Some(canonical) => events.push(canonical),
            None => errors.add(field, unknown_event(selector, selectors)),
        }
    }
    Some(events)
}

fn unknown_event(selector: &str, selectors: &dyn Selectors) -> String {
    let known = format!("{} is no known event type", quoted(selector));
    match selectors.nearest(selector) {
        Some(near) => format!("{known}; did you mean {near:?}?"),
        None => known,
    }
}

fn read_filter(value: &Value, errors: &mut Errors) -> Option<Arc<Filter>> {
    match Filter::parse(value, "filter") {
        Ok(filter) => Some(Arc::new(filter)),
        Err(found) => {
            for FilterError { field, message } in found {
                errors.add(field, message);
            }
            None
        }
    }
}

fn read_word<W: Word>(value: &Value, field: &str, errors: &mut Errors) -> Option<W> {
    let word = value.as_str().and_then(W::from_word);
    if word.is_none() {
        errors.add(field, format!("must be {}", W::choices()));
    }
    word
}

fn read_delivery(value: &Value, nulls: bool, errors: &mut Errors) -> DeliveryPatch {
    let Some(object) = Object::of(value, "delivery.", errors) else { return DeliveryPatch::default() };
    object.only(&DELIVERY_KNOWN, &[], errors);
    let millis = member(&object, "timeoutMs", nulls, errors, |value, field, errors| {
        integer(value, field, 1, TIMEOUT_MS_MAX, errors).map(|ms| Duration::from_millis(u64::from(ms)))
    });
    DeliveryPatch {
        timeout: millis,
        max_in_flight: member(&object, "maxInFlight", nulls, errors, |value, field, errors| {
            integer(value, field, 1, MAX_IN_FLIGHT_MAX, errors)
        }),
        rate_per_second: member(&object, "ratePerSecond", false, errors, read_rate),
        ordering: member(&object, "ordering", nulls, errors, read_word),
        on_blocked: member(&object, "onBlocked", nulls, errors, read_word),
        signature: member(&object, "signature", nulls, errors, read_word),
    }
}

fn member<T>(
    object: &Object<'_>,
    name: &str,
    nulls: bool,
    errors: &mut Errors,
    read: impl FnOnce(&Value, &str, &mut Errors) -> Option<T>,
) -> Field<T> {
    match object.get(name) {
        None => Field::Absent,
        Some(Value::Null) if nulls => Field::Default,
        Some(value) => read(value, &object.path(name), errors).map_or(Field::Absent, Field::Set),
    }
}

#[expect(clippy::option_option, reason = "the outer one is \"well-formed\", the inner one \"limited\"")]
fn read_rate(value: &Value, field: &str, errors: &mut Errors) -> Option<Option<f64>> {
    match value {
        Value::Null => Some(None),
        Value::Number(number) => {
            let rate = number.as_f64().filter(|n| (RATE_PER_SECOND_MIN..=RATE_PER_SECOND_MAX).contains(n));
            if rate.is_none() {
                errors.add(field, format!("must be from {RATE_PER_SECOND_MIN} to {RATE_PER_SECOND_MAX}"));
                return None;
            }
            Some(rate)
        }
        other => {
            errors.add(field, format!("must be a number or null, is {}", kind(other)));
            None
        }
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;

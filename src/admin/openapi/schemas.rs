//! The shapes of bodies and answers, each with an example.
//!
//! Words and bounds come from where the code that judges them has them.

#![expect(clippy::needless_pass_by_value, reason = "each is made where it is passed")]
#![expect(clippy::indexing_slicing, reason = "what is written to is an object made right here")]

use serde_json::{Map, Value, json};

use crate::model::filter::{CONDITIONS_MAX, DEPTH_MAX, FILTER_LEN_MAX, IN_MAX, PATH_LEN_MAX, STRING_LEN_MAX};
use crate::model::{OnBlocked, Ordering, SignatureScheme, Status};
use crate::registry::{
    Action, ActorKind, CERTIFICATE_LEN_MAX, CLIENT_KEY_LEN_MAX, HEADER_NAME_LEN_MAX, HEADER_VALUE_LEN_MAX,
    HEADERS_MAX, OVERLAP_DEFAULT, OVERLAP_SECS_MAX, SCOPE_EVENTS_WRITE, TargetKind, TokenKind, Word,
};
use crate::registry::{
    DESCRIPTION_CHARS_MAX, EVENTS_LEN_MAX, FLAGS, MAX_IN_FLIGHT_MAX, NAME_CHARS_MAX, RATE_PER_SECOND_MAX,
    RATE_PER_SECOND_MIN, Role, TIMEOUT_MS_MAX,
};

pub const DELIVERY_STATUSES: [&str; 4] = ["pending", "delivered", "retrying", "dead"];

/// Every `code` of a problem body.
pub const CODES: &[&str] = &[
    "body_cut_off",
    "body_too_large",
    "busy",
    "cross_site",
    "disk_reserve",
    "event_not_found",
    "feature_disabled",
    "idempotency_in_progress",
    "idempotency_key_reused",
    "internal",
    "licence_required",
    "malformed_json",
    "method_not_allowed",
    "not_found",
    "not_wanted",
    "operator_only",
    "queue_full",
    "range_too_large",
    "rate_limited",
    "registry_full",
    "replays_busy",
    "role_forbidden",
    "service_account",
    "stopping",
    "store_unavailable",
    "subscription_inactive",
    "timeout",
    "too_many_jobs",
    "too_many_streams",
    "too_many_subscriptions",
    "too_many_tokens",
    "unauthorized",
    "unsupported_media_type",
    "validation_failed",
    "version_mismatch",
];

/// All words of an enumeration.
pub fn words<W: Word>() -> Vec<&'static str> {
    W::TABLE.iter().map(|row| row.1).collect()
}

pub fn all() -> Value {
    let mut all = Map::new();
    for part in [requests(), configuration(), traffic(), further()] {
        if let Value::Object(members) = part {
            all.extend(members);
        }
    }
    Value::Object(all)
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn maybe_time() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

/// An answer: each member is always there.
fn answer(about: &str, properties: Value, example: Value) -> Value {
    let required: Vec<&str> =
        properties.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    json!({"type": "object", "description": about, "required": required, "properties": properties, "examples": [example]})
}

/// A request: no member that is not known.
fn request(about: &str, required: &[&str], properties: Value, example: Value) -> Value {
    json!({"type": "object", "description": about, "required": required, "additionalProperties": false,
           "properties": properties, "examples": [example]})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn header(masked: &str) -> Value {
    json!({
        "type": "object", "required": ["name", "value"], "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": HEADER_NAME_LEN_MAX},
            "value": {"type": "string", "maxLength": HEADER_VALUE_LEN_MAX, "description": masked},
        },
    })
}

fn subscription_members(patch: bool) -> Value {
    let nullable = |schema: Value| if patch { or_null(schema) } else { schema };
    json!({
        "callbackUrl": {"type": "string", "maxLength": crate::model::url::CALLBACK_URL_LEN_MAX,
            "description": "Absolute, http or https, without user information and fragment.", "examples": ["https://example.com/hook"]},
        "name": {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX},
        "events": {"type": "array", "minItems": 1, "maxItems": EVENTS_LEN_MAX, "items": {"type": "string"},
            "description": "Event types by id, name or alias, `*`, or a prefix such as `user.*`."},
        "headers": nullable(json!({"type": "array", "maxItems": HEADERS_MAX,
            "items": header("Sent back masked it stays as it is."), "description": "Custom headers of each request."})),
        "description": nullable(json!({"type": "string", "maxLength": DESCRIPTION_CHARS_MAX})),
        "status": {"type": "string", "enum": words::<Status>()},
        "delivery": nullable(json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "timeoutMs": nullable(json!({"type": "integer", "minimum": 1, "maximum": TIMEOUT_MS_MAX})),
                "maxInFlight": nullable(json!({"type": "integer", "minimum": 1, "maximum": MAX_IN_FLIGHT_MAX})),
                "ratePerSecond": {"type": ["number", "null"], "minimum": RATE_PER_SECOND_MIN, "maximum": RATE_PER_SECOND_MAX},
                "ordering": nullable(json!({"type": "string", "enum": words::<Ordering>()})),
                "onBlocked": nullable(json!({"type": "string", "enum": words::<OnBlocked>()})),
                "signature": nullable(json!({"type": "string", "enum": words::<SignatureScheme>()})),
            },
        })),
        "clientCertificate": or_null(json!({
            "type": "object", "additionalProperties": false, "required": ["certificate", "key"],
            "description": "Shown to a receiver that asks for one (mTLS); both PEM.",
            "properties": {
                "certificate": {"type": "string", "maxLength": CERTIFICATE_LEN_MAX},
                "key": {"type": "string", "maxLength": CLIENT_KEY_LEN_MAX},
            },
        })),
        "filter": {"anyOf": [super::reference("Filter"), {"type": "null"}],
            "description": "Which events of these types are wanted, by their content; null: all. Taken whole, never merged."},
    })
}

fn requests() -> Value {
    let draft = json!({"callbackUrl": "https://example.com/hook", "name": "Slack relay",
        "events": ["device.registered", "user.*"], "headers": [{"name": "X-Api-Key", "value": "s3cret"}]});
    json!({
        "AccountPut": request("What an account is called.", &[],
            json!({"name": {"type": ["string", "null"]}}), json!({"name": "Acme"})),
        "FeaturePut": request("Whether the feature is on.", &["enabled"],
            json!({"enabled": {"type": "boolean"}}), json!({"enabled": true})),
        "TokenDraft": request("A token to be made.", &["name", "kind", "role"], json!({
            "name": {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX},
            "kind": {"type": "string", "enum": words::<TokenKind>(), "description": "A service account has no door to the console."},
            "role": {"type": "string", "enum": words::<Role>()},
            "platformUser": {"type": ["boolean", "null"], "description": "Holds the Platform User licence, without which an Account Owner only reads."},
            "scopes": {"type": "array", "items": {"type": "string", "enum": [SCOPE_EVENTS_WRITE]}},
            "expiresAt": {"type": ["string", "null"], "format": "date-time", "description": "In the future; null: never."},
        }), json!({"name": "CI", "kind": "service_account", "role": "account_owner", "platformUser": true})),
        "SubscriptionDraft": request("A subscription to be made.", &["callbackUrl", "name", "events"],
            subscription_members(false), draft),
        "SubscriptionPatch": request("What is to change.", &[], subscription_members(true),
            json!({"name": "Relay", "delivery": {"ratePerSecond": 10}})),
        "SecretRotation": request("How to change over.", &[], json!({
            "overlapSeconds": {"type": "integer", "minimum": 0, "maximum": OVERLAP_SECS_MAX, "default": OVERLAP_DEFAULT.as_secs(),
                "description": "For how long the old secret signs as well."},
        }), json!({"overlapSeconds": 3600})),
        "Resend": request("What is to be sent again.", &["eventId"],
            json!({"eventId": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}}), json!({"eventId": "evt-000123"})),
        "Filter": filter(),
        "FilterTest": request("A filter, and what to try it on.", &["filter"], json!({
            "filter": {"anyOf": [super::reference("Filter"), {"type": "null"}]},
            "event": {"type": ["object", "null"], "description": "A whole event; `type` and `data` are left out then."},
            "type": {"type": ["string", "null"], "description": "An event type by id, name or alias."},
            "data": {"type": ["object", "null"], "description": "Its data; the type's sample where it is left out."},
        }), json!({"filter": {"path": "data.floor", "gte": 3}, "type": "device.registered", "data": {"floor": 4}})),
        "TestEvent": request("Of which type; without it the first that the subscription wants.", &[],
            json!({"type": {"type": ["string", "null"]}}), json!({"type": "device.registered"})),
    })
}

/// Conditions hold conditions: the only schema here that names itself.
fn filter() -> Value {
    let text = |about: &str| json!({"type": "string", "maxLength": STRING_LEN_MAX, "description": about});
    let scalar = json!({"type": ["string", "number", "boolean", "null"]});
    let comparable = json!({"type": ["string", "number"]});
    let some = json!({"type": "array", "minItems": 1, "maxItems": CONDITIONS_MAX, "items": super::reference("Filter")});
    let one = |name: &str, schema: &Value| json!({"type": "object", "additionalProperties": false, "required": [name], "properties": {name: schema}});
    json!({
        "description": format!(
            "A condition over an event: `and`, `or`, `not`, or a path with operators that must all hold. A path that the event \
             does not have fails every operator but `exists: false`. Types are never coerced: \"3\" is not 3. Numbers beyond \
             64 bits are compared as doubles. At most {} conditions, nested at most {} deep, {} bytes of JSON.",
            CONDITIONS_MAX, DEPTH_MAX, FILTER_LEN_MAX,
        ),
        "examples": [{"and": [{"path": "data.floor", "gte": 3, "lt": 10}, {"path": "type", "prefix": "visitor."}]}],
        "anyOf": [
            one("and", &some),
            one("or", &some),
            one("not", &super::reference("Filter")),
            {"type": "object", "additionalProperties": false, "required": ["path"], "minProperties": 2, "properties": {
                "path": {"type": "string", "maxLength": PATH_LEN_MAX,
                    "pattern": "^(data|type|id|accountId|timestamp)(\\.[^.]+)*$",
                    "description": "Member names with dots between them, from the event's top; in an array the place, from 0."},
                "eq": scalar, "in": {"type": "array", "minItems": 1, "maxItems": IN_MAX, "items": scalar},
                "gt": comparable, "gte": comparable, "lt": comparable, "lte": comparable,
                "exists": {"type": "boolean"}, "prefix": text("How a string begins."),
            }},
        ],
    })
}

fn configuration() -> Value {
    let text = || json!({"type": "string"});
    let token = json!({
        "id": text(), "name": text(),
        "kind": {"type": "string", "enum": words::<TokenKind>()},
        "role": {"type": "string", "enum": words::<Role>()},
        "platformUser": {"type": "boolean"},
        "scopes": {"type": "array", "items": text()},
        "createdAt": time(), "expiresAt": maybe_time(), "lastUsedAt": maybe_time(),
    });
    let token_example = json!({"id": "tok_01", "name": "CI", "kind": "service_account", "role": "account_owner",
        "platformUser": true, "scopes": [], "createdAt": "2026-11-23T14:49:00.000Z", "expiresAt": null, "lastUsedAt": null});
    let (mut new_token, mut new_example) = (token.clone(), token_example.clone());
    new_token["token"] = json!({"type": "string", "description": "The token: shown this once."});
    new_example["token"] = json!("prt_…");
    json!({
        "EventType": answer("A type of event.", json!({
            "id": text(), "name": text(), "group": text(), "aliases": {"type": "array", "items": text()},
            "gated": {"type": "boolean", "description": "Delivered only where the feature is on."},
            "schema": {"type": "object", "description": "JSON Schema 2020-12 of `data`."},
            "sample": {"type": "object", "description": "A `data`."},
        }), json!({"id": "device.registered", "name": "Device Registered Event", "group": "Devices", "aliases": [],
            "gated": true, "schema": {}, "sample": {}})),
        "Me": {"type": "object", "required": ["role"], "description": "Whose token this is.", "properties": {
            "role": {"type": "string", "enum": ["operator", "account_owner", "viewer"]},
            "kind": {"type": "string", "enum": words::<TokenKind>()},
            "platformUser": {"type": "boolean"}, "accountId": text(),
            "features": {"type": "object", "additionalProperties": {"type": ["boolean", "null"]}},
        }, "examples": [{"role": "operator"}]},
        "Checkpoint": answer("A checkpoint of the store.", json!({
            "path": {"type": "string", "description": "Where it is on the engine's machine."},
            "head": {"type": "integer", "description": "The last event in it."},
        }), json!({"path": "data/checkpoint", "head": 42})),
        "Account": answer("An account.", json!({"id": text(), "name": {"type": ["string", "null"]}, "createdAt": time()}),
            json!({"id": "acme", "name": "Acme", "createdAt": "2026-11-23T14:49:00.000Z"})),
        "Feature": answer("A feature flag.", json!({"flag": {"type": "string", "enum": FLAGS}, "enabled": {"type": "boolean"},
            "default": {"type": "boolean", "description": "Nothing is set for this account."}}),
            json!({"flag": FLAGS.first(), "enabled": true, "default": true})),
        "Token": answer("A token, without what it is.", token, token_example),
        "NewToken": answer("A token.", new_token, new_example),
        "FilterVerdict": answer("What a filter says.", json!({"matches": {"type": "boolean"}}), json!({"matches": true})),
        "Subscription": subscription(),
        "Secret": answer("What a receiver checks signatures with.", json!({
            "secret": {"type": "string", "pattern": "^whsec_"},
            "publicKey": {"type": ["string", "null"], "description": "`whpk_…`, where `v1a` is asked for."},
            "previousExpiresAt": maybe_time(),
        }), json!({"secret": "whsec_…", "publicKey": null, "previousExpiresAt": null})),
    })
}

fn subscription() -> Value {
    let text = || json!({"type": "string"});
    answer(
        "Where events go, and how.",
        json!({
            "id": text(), "accountId": text(), "name": text(), "callbackUrl": text(),
            "events": {"type": "array", "items": text()},
            "headers": {"type": "array", "items": header("Masked.")},
            "description": text(),
            "status": {"type": "string", "enum": words::<Status>()},
            "disabledReason": {"type": ["string", "null"], "enum": ["gone", "failing", "blocked", null],
                "description": "Why the engine made it inactive."},
            "delivery": answer("How it is sent.", json!({
                "timeoutMs": {"type": "integer"}, "maxInFlight": {"type": "integer"}, "ratePerSecond": {"type": ["number", "null"]},
                "ordering": {"type": "string", "enum": words::<Ordering>()},
                "onBlocked": {"type": "string", "enum": words::<OnBlocked>()},
                "signature": {"type": "string", "enum": words::<SignatureScheme>()},
            }), json!({})),
            "clientCertificate": {"type": ["object", "null"]},
            "filter": {"anyOf": [super::reference("Filter"), {"type": "null"}]},
            "health": answer("How it does.", json!({
                "state": {"type": "string", "enum": ["healthy", "failing", "lagging"]},
                "lastSuccessAt": maybe_time(), "lastFailureAt": maybe_time(), "pending": {"type": "integer"},
                "oldestPendingAt": maybe_time(), "breaker": {"type": "string", "enum": ["closed", "open", "half_open"]},
                "nextProbeAt": {"type": ["string", "null"], "format": "date-time", "description": "When the host is tried again, while its breaker is open and where that is known."},
            }), json!({})),
            "createdAt": time(), "updatedAt": time(), "version": {"type": "integer"},
        }),
        json!({"id": "sub_01", "accountId": "acme", "name": "Slack relay", "callbackUrl": "https://example.com/hook",
        "events": ["device.registered", "user.*"], "headers": [{"name": "X-Api-Key", "value": "••••••"}],
        "description": "", "status": "active", "disabledReason": null,
        "delivery": {"timeoutMs": 15000, "maxInFlight": 64, "ratePerSecond": null, "ordering": "none", "onBlocked": "block", "signature": "v1"},
        "clientCertificate": null, "filter": null,
        "health": {"state": "healthy", "lastSuccessAt": null, "lastFailureAt": null, "pending": 0, "oldestPendingAt": null, "breaker": "closed", "nextProbeAt": null},
        "createdAt": "2026-11-23T14:49:00.000Z", "updatedAt": "2026-11-23T14:49:00.000Z", "version": 1}),
    )
}

fn traffic() -> Value {
    let text = || json!({"type": "string"});
    let headers = || {
        json!({"type": "array", "items": {"type": "object", "required": ["name", "value"],
        "properties": {"name": text(), "value": text()}}})
    };
    let summary = json!({"id": text(), "type": text(), "accountId": text(), "timestamp": text(),
        "acceptedAt": time(), "bodySize": {"type": "integer"}});
    let summary_example = json!({"id": "evt-000123", "type": "device.registered", "accountId": "acme",
        "timestamp": "2026-11-23T14:49:00.000Z", "acceptedAt": "2026-11-23T14:49:00.010Z", "bodySize": 160});
    let (mut event, mut event_example) = (summary.clone(), summary_example.clone());
    event["data"] = json!({"type": "object", "description": "As it was sent."});
    event_example["data"] = json!({"id": "d-1", "name": "Lobby"});
    json!({
        "Delivery": answer("What became of an event at a subscription.", json!({
            "eventId": text(), "subscriptionId": text(), "type": text(),
            "status": {"type": "string", "enum": DELIVERY_STATUSES}, "attempts": {"type": "integer"},
            "acceptedAt": time(), "lastAttemptAt": maybe_time(), "nextAttemptAt": maybe_time(),
        }), json!({"eventId": "evt-000123", "subscriptionId": "sub_01", "type": "device.registered", "status": "delivered",
            "attempts": 1, "acceptedAt": "2026-11-23T14:49:00.010Z", "lastAttemptAt": "2026-11-23T14:49:00.012Z", "nextAttemptAt": null})),
        "Attempt": answer("One request to a receiver.", json!({
            "number": {"type": "integer"},
            "trigger": {"type": "string", "enum": ["event", "retry", "resend", "recover", "test"]},
            "startedAt": time(), "durationMs": {"type": "integer"},
            "statusCode": {"type": ["integer", "null"]},
            "error": or_null(json!({"type": "object", "required": ["kind", "message"], "properties": {
                "kind": {"type": "string", "enum": ["dns", "egress", "connect", "tls", "timeout", "reset", "protocol", "status", "gone"]},
                "message": text(),
            }})),
            "request": {"type": "object", "required": ["url", "headers", "bodySize", "changedSince"],
                "properties": {"url": text(), "headers": headers(), "bodySize": {"type": "integer"},
                    "changedSince": {"type": "boolean", "description": "Whether the subscription was changed after the attempt began. `url` and the custom headers are those that it has now: where this is true, others may have been sent."}}},
            "response": or_null(json!({"type": "object", "required": ["headers", "body", "truncated"],
                "properties": {"headers": headers(), "body": text(), "truncated": {"type": "boolean"}}})),
        }), json!({"number": 1, "trigger": "event", "startedAt": "2026-11-23T14:49:00.012Z", "durationMs": 31, "statusCode": 204,
            "error": null, "request": {"url": "https://example.com/hook", "headers": [], "bodySize": 160, "changedSince": false},
            "response": {"headers": [], "body": "", "truncated": false}})),
        "EventSummary": answer("An event, without its data.", summary, summary_example),
        "Event": answer("An event.", event, event_example),
    })
}

/// Times from acceptance to delivery, in milliseconds.
fn delay() -> Value {
    let number = || json!({"type": "integer"});
    json!({"type": "object", "required": ["avg", "p50", "p99", "max"],
        "properties": {"avg": number(), "p50": number(), "p99": number(), "max": number()}})
}

fn quantiles() -> Value {
    let number = || json!({"type": "integer"});
    json!({"type": "object", "required": ["avg", "p50", "p99"],
        "properties": {"avg": number(), "p50": number(), "p99": number()}})
}

fn further() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    json!({
        "Resent": answer("It is on disk that it is sent again.", json!({"eventId": text(), "subscriptionId": text(),
            "status": {"type": "string", "enum": ["pending"]}}),
            json!({"eventId": "evt-000123", "subscriptionId": "sub_01", "status": "pending"})),
        "Overview": answer("How the engine does now, and has done for three minutes. Rates are means of ten seconds, delays of one minute.", json!({
            "at": time(), "accounts": {"type": "integer"}, "subscriptions": {"type": "integer"},
            "acceptedPerSecond": {"type": "number"}, "deliveredPerSecond": {"type": "number"}, "failedPerSecond": {"type": "number"},
            "delayMs": or_null(quantiles()), "queued": {"type": "integer"}, "inFlight": {"type": "integer"},
            "retriesWaiting": {"type": "integer"}, "laggingSubscriptions": {"type": "integer"}, "deadLetters": {"type": "integer"},
            "oldestUndeliveredAt": maybe_time(),
            "hosts": {"type": "array", "description": "Those that fail or are behind, longest waiting first.", "items": answer("A host.", json!({
                "host": text(), "breaker": {"type": "string", "enum": ["closed", "open", "half_open"]}, "subscriptions": {"type": "integer"},
                "pending": {"type": "integer"}, "oldestPendingAt": maybe_time(), "lastFailureAt": maybe_time()}), json!({}))},
            "history": {"type": "array", "description": "A second each, oldest first.", "items": answer("A second.", json!({
                "at": time(), "accepted": {"type": "integer"}, "delivered": {"type": "integer"}, "failed": {"type": "integer"},
                "waiting": {"type": "integer"}, "delayMs": or_null(quantiles())}), json!({}))},
        }), json!({"at": "2026-11-23T14:49:00.000Z", "accounts": 1, "subscriptions": 1, "acceptedPerSecond": 200.0,
            "deliveredPerSecond": 199.8, "failedPerSecond": 0.2, "delayMs": {"avg": 4, "p50": 3, "p99": 15}, "queued": 0, "inFlight": 3,
            "retriesWaiting": 2, "laggingSubscriptions": 0, "deadLetters": 0, "oldestUndeliveredAt": null, "hosts": [], "history": []})),
        "Stats": answer("What came of a subscription's attempts over time.", json!({
            "since": time(), "until": time(), "step": {"type": "integer", "description": "Seconds."},
            "items": {"type": "array", "items": {"type": "object", "required": ["at", "delivered", "failed", "delayMs"], "properties": {
                "at": time(), "delivered": {"type": "integer"}, "failed": {"type": "integer"},
                "delayMs": or_null(delay()),
            }}},
        }), json!({"since": "2026-11-23T14:45:00.000Z", "until": "2026-11-23T14:50:00.000Z", "step": 300, "items": [
            {"at": "2026-11-23T14:45:00.000Z", "delivered": 12, "failed": 1, "delayMs": {"avg": 9, "p50": 7, "p99": 31, "max": 31}}]})),
        "AuditEntry": answer("Who changed what, and when.", json!({
            "id": text(), "at": time(), "accountId": maybe(),
            "actor": answer("Who.", json!({"kind": {"type": "string", "enum": words::<ActorKind>()}, "id": maybe(), "name": maybe()}), json!({})),
            "action": {"type": "string", "enum": words::<Action>()},
            "target": answer("What.", json!({"kind": {"type": "string", "enum": words::<TargetKind>()}, "id": text(), "name": text()}), json!({})),
            "changes": {"type": "array", "items": text(), "description": "The fields that changed."},
        }), json!({"id": "7", "at": "2026-11-23T14:49:00.000Z", "accountId": "acme",
            "actor": {"kind": "operator", "id": null, "name": null}, "action": "subscription.update",
            "target": {"kind": "subscription", "id": "sub_01", "name": "Slack relay"}, "changes": ["name"]})),
        "Recover": request("Which deliveries are made again.", &["since"], json!({
            "since": time(), "until": maybe_time(),
            "types": {"type": ["array", "null"], "items": {"type": "string"}},
            "status": {"type": ["string", "null"], "enum": ["dead", "failed", "all", null]},
            "dryRun": {"type": ["boolean", "null"]},
            "ratePerSecond": {"type": ["number", "null"]},
        }), json!({"since": "2026-11-23T14:00:00.000Z", "status": "dead"})),
        "Matched": answer("What a dry run finds.", json!({"matched": {"type": "integer"}}), json!({"matched": 12})),
        "Job": answer("Work that goes on by itself.", json!({
            "id": text(), "kind": {"type": "string", "enum": ["recover"]}, "subscriptionId": text(),
            "status": {"type": "string", "enum": ["queued", "running", "succeeded", "cancelled", "failed"]},
            "total": {"type": "integer"}, "done": {"type": "integer"}, "failed": {"type": "integer"},
            "createdAt": time(), "finishedAt": maybe_time(),
        }), json!({"id": "job_01", "kind": "recover", "subscriptionId": "sub_01", "status": "running", "total": 12, "done": 3,
            "failed": 0, "createdAt": "2026-11-23T14:49:00.000Z", "finishedAt": null})),
        "Problem": {"type": "object", "description": "A refusal (RFC 9457).",
            "required": ["type", "title", "status", "code", "detail"],
            "properties": {
                "type": text(), "title": text(), "status": {"type": "integer"},
                "code": {"type": "string", "enum": CODES}, "detail": text(),
                "errors": {"type": "array", "items": {"type": "object", "required": ["field", "message"],
                    "properties": {"field": text(), "message": text()}}},
            },
            "examples": [{"type": "about:blank", "title": "Unprocessable Entity", "status": 422, "code": "validation_failed",
                "detail": "callbackUrl: is required", "errors": [{"field": "callbackUrl", "message": "is required"}]}]},
    })
}

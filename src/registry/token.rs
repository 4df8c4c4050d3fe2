//! Tokens of an account: who holds one, what it may do, and how it is asked for.
//!
//! The registry knows the SHA-256 of a token, never the token: 256 random bits need no slow hash, and a
//! copy of the store opens nothing. Deliberately absent: the operator's token, which is not an account's,
//! and what a role may do ([`super::access`]).

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::draft::NAME_CHARS_MAX;
use super::field::{Errors, FieldError, Object, kind, quoted, text};
use super::words::Word;
use crate::model::{AccountKey, UnixMillis};

/// Tokens at most in one account.
pub const TOKENS_PER_ACCOUNT_MAX: usize = 1000;
/// What a token for ingest over TCP needs.
pub const SCOPE_EVENTS_WRITE: &str = "events:write";

const KNOWN: [&str; 6] = ["name", "kind", "role", "platformUser", "scopes", "expiresAt"];
const READ_ONLY: [&str; 5] = ["id", "accountId", "token", "createdAt", "lastUsedAt"];

/// The SHA-256 of a token's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A person, who may sign in to the console.
    User,
    /// A program of a third party.
    ServiceAccount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    AccountOwner,
    Viewer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `tok_…`; in order of age.
    pub id: Box<str>,
    pub account: AccountKey,
    pub name: String,
    pub kind: TokenKind,
    pub role: Role,
    /// Holds a Platform User licence.
    pub platform_user: bool,
    /// May write events of its account over TCP.
    pub events_write: bool,
    pub digest: TokenDigest,
    pub created_at: UnixMillis,
    /// Not valid from then on.
    pub expires_at: Option<UnixMillis>,
    /// The last use, noted at most every few minutes.
    pub last_used_at: Option<UnixMillis>,
}

impl Token {
    #[must_use]
    pub fn is_valid(&self, now: UnixMillis) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is asked for when a token is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDraft {
    pub name: String,
    pub kind: TokenKind,
    pub role: Role,
    pub platform_user: bool,
    pub events_write: bool,
    pub expires_at: Option<UnixMillis>,
}

impl TokenDraft {
    /// `name`, `kind` and `role` are required; `platformUser` is false where it is missing.
    ///
    /// # Errors
    /// All that is wrong, at most [`super::ERRORS_MAX`].
    pub fn parse(value: &Value, now: UnixMillis) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let draft = Self::read(value, now, &mut errors);
        errors.into_result(draft)
    }

    fn read(value: &Value, now: UnixMillis, errors: &mut Errors) -> Option<Self> {
        let object = Object::of(value, "", errors)?;
        object.only(&KNOWN, &READ_ONLY, errors);
        let mut required = |name: &str| {
            let value = object.get(name);
            if value.is_none() {
                errors.add(name, "is required");
            }
            value
        };
        let (name, kind, role) = (required("name"), required("kind"), required("role"));
        let name = name.and_then(|value| text(value, "name", 1, NAME_CHARS_MAX, errors));
        let kind = kind.and_then(|value| word(value, "kind", errors));
        let role = role.and_then(|value| word(value, "role", errors));
        let platform_user = match object.get("platformUser") {
            None | Some(Value::Null) => Some(false),
            Some(Value::Bool(licensed)) => Some(*licensed),
            Some(other) => {
                errors.add("platformUser", format!("must be true or false, is {}", self::kind(other)));
                None
            }
        };
        let events_write = object.get("scopes").map_or(Some(false), |value| scopes(value, errors));
        let expires_at = match object.get("expiresAt") {
            None | Some(Value::Null) => Some(None),
            Some(value) => expiry(value, now, errors).map(Some),
        };
        Some(Self {
            name: name?,
            kind: kind?,
            role: role?,
            platform_user: platform_user?,
            events_write: events_write?,
            expires_at: expires_at?,
        })
    }
}

fn word<W: Word>(value: &Value, field: &str, errors: &mut Errors) -> Option<W> {
    let Value::String(text) = value else {
        errors.add(field, format!("must be {}, is {}", W::choices(), kind(value)));
        return None;
    };
    let found = W::from_word(text);
    if found.is_none() {
        errors.add(field, format!("must be {}, is {}", W::choices(), quoted(text)));
    }
    found
}

/// Whether `events:write` is among them; there is no other.
fn scopes(value: &Value, errors: &mut Errors) -> Option<bool> {
    let Value::Array(scopes) = value else {
        errors.add("scopes", format!("must be an array, is {}", kind(value)));
        return None;
    };
    let mut all = true;
    for (place, scope) in scopes.iter().enumerate() {
        if scope.as_str() != Some(SCOPE_EVENTS_WRITE) {
            errors.add(format!("scopes[{place}]"), format!("must be {SCOPE_EVENTS_WRITE:?}"));
            all = false;
        }
    }
    all.then_some(!scopes.is_empty())
}

fn expiry(value: &Value, now: UnixMillis, errors: &mut Errors) -> Option<UnixMillis> {
    let parsed = value.as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let Some(end) = parsed.and_then(|end| u64::try_from(end.unix_timestamp_nanos() / 1_000_000).ok()) else {
        errors.add("expiresAt", "must be a time such as \"2027-01-31T12:00:00Z\" (RFC 3339)");
        return None;
    };
    if end <= now.0 {
        errors.add("expiresAt", "must be in the future");
        return None;
    }
    Some(UnixMillis(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn drafts() {
        let check = |json: &str, want: Result<(TokenKind, Role, bool, bool), &[&str]>| {
            let got = TokenDraft::parse(&serde_json::from_str(json).unwrap(), NOW);
            match (&got, want) {
                (Ok(got), Ok(want)) => {
                    assert_eq!((got.kind, got.role, got.platform_user, got.events_write), want, "{json}");
                }
                (Err(errors), Err(fields)) => {
                    let named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
                    assert_eq!(named, fields, "{json}: {errors:?}");
                }
                (got, want) => panic!("{json}: {got:?}, wanted {want:?}"),
            }
        };
        let owner = (TokenKind::User, Role::AccountOwner, true, false);
        check(r#"{"name":"a","kind":"user","role":"account_owner","platformUser":true}"#, Ok(owner));
        check(
            r#"{"name":"a","kind":"service_account","role":"viewer","scopes":["events:write"],"expiresAt":null}"#,
            Ok((TokenKind::ServiceAccount, Role::Viewer, false, true)),
        );
        check(
            r#"{"name":"a","kind":"user","role":"viewer","scopes":[],"expiresAt":"2030-01-01T00:00:00+01:00"}"#,
            Ok((TokenKind::User, Role::Viewer, false, false)),
        );
        check("{}", Err(&["name", "kind", "role"]));
        check("[]", Err(&["body"]));
        check(r#"{"name":"","kind":"x","role":7}"#, Err(&["name", "kind", "role"]));
        check(r#"{"name":"a","kind":"user","role":"viewer","platformUser":"yes"}"#, Err(&["platformUser"]));
        check(r#"{"name":"a","kind":"user","role":"viewer","scopes":["events:read"]}"#, Err(&["scopes[0]"]));
        check(r#"{"name":"a","kind":"user","role":"viewer","scopes":"events:write"}"#, Err(&["scopes"]));
        check(r#"{"name":"a","kind":"user","role":"viewer","expiresAt":"tomorrow"}"#, Err(&["expiresAt"]));
        check(
            r#"{"name":"a","kind":"user","role":"viewer","expiresAt":"2020-01-01T00:00:00Z"}"#,
            Err(&["expiresAt"]),
        );
        check(r#"{"name":"a","kind":"user","role":"viewer","token":"prt_x"}"#, Err(&["token"]));
    }

    #[test]
    fn an_expired_token_is_not_valid() {
        let mut token = sample();
        assert!(token.is_valid(NOW));
        token.expires_at = Some(NOW);
        assert!(!token.is_valid(NOW));
        assert!(token.is_valid(UnixMillis(NOW.0 - 1)));
        assert!(!format!("{token:?}").contains("7, 7"), "a digest is not shown");
    }

    fn sample() -> Token {
        Token {
            id: "tok_1".into(),
            account: AccountKey(1),
            name: "a".to_owned(),
            kind: TokenKind::User,
            role: Role::Viewer,
            platform_user: false,
            events_write: false,
            digest: TokenDigest([7; 32]),
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
        }
    }
}

//! Names and numbers that identify things.
//!
//! What the outside sees is text (`acme`, `sub_…`, `evt-000123`); what rows and queues carry is a
//! number that the registry gave once and never gives again, because a number is eight bytes, orders
//! by age and can be compared in one instruction.

use std::fmt;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {max} characters, has {len}")]
    TooLong { len: usize, max: usize },
    #[error("may hold only letters, digits, `_` and `-`{extra}")]
    BadCharacter { extra: &'static str },
}

/// Bytes at most in an event id (contract §3).
pub const EVENT_ID_LEN_MAX: usize = 64;
/// Bytes at most in an account's name.
pub const ACCOUNT_NAME_LEN_MAX: usize = 64;

fn check(text: &str, max: usize, also: &[u8], extra: &'static str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong { len: text.chars().count(), max });
    }
    let fine = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-' || also.contains(b);
    if text.as_bytes().iter().all(fine) { Ok(()) } else { Err(IdError::BadCharacter { extra }) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr, $also:expr, $extra:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(Box<str>);

        impl $name {
            /// # Errors
            /// Empty, too long, or a character outside the allowed set.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text, $max, $also, $extra)?;
                Ok(Self(text.into()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An event's id: 1–64 of `A-Za-z0-9_-`. Needs no escaping in JSON, in a header or in a URL.
    EventId,
    EVENT_ID_LEN_MAX,
    b"",
    ""
);
text_id!(
    /// An account's name: 1–64 of `A-Za-z0-9_.:@-` (tenant ids, slugs, UUIDs and addresses fit).
    AccountName,
    ACCOUNT_NAME_LEN_MAX,
    b".:@",
    ", `.`, `:`, `@`"
);
text_id!(
    /// A subscription's public id, `sub_…`.
    SubscriptionId,
    64,
    b"",
    ""
);

/// The registry's number for an account. Given once, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct AccountKey(pub u32);

/// The registry's number for a subscription. Given once, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct SubscriptionKey(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids() {
        let check = |text: &str, want: Result<(), IdError>| {
            assert_eq!(EventId::parse(text).map(|_| ()), want, "{text:?}");
        };
        check("evt-000123", Ok(()));
        check(&"x".repeat(64), Ok(()));
        check(&"x".repeat(65), Err(IdError::TooLong { len: 65, max: 64 }));
        check("", Err(IdError::Empty));
        check("a b", Err(IdError::BadCharacter { extra: "" }));
        check("ü", Err(IdError::BadCharacter { extra: "" }));
    }

    #[test]
    fn account_names() {
        assert!(AccountName::parse("owner@acme.example:eu").is_ok());
        assert!(AccountName::parse("a/b").is_err());
    }
}

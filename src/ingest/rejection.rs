//! Why one event of a request was not taken, in words and in a stable code.
//!
//! A rejection spoils nothing but its own item. What spoils a whole request is a [`Problem`].
//!
//! [`Problem`]: super::answer::Problem

use crate::model::EventId;

/// What of the client's own text an error message quotes at most, in characters.
const QUOTE_LEN_MAX: usize = 64;
/// How many edits away a name may be to be suggested.
const NEAREST_EDITS_MAX: usize = 3;

/// The stable code of a rejection. Bounded, because it is also a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    NotJson,
    NotAnObject,
    EventTooLarge,
    DataTooDeep,
    UnknownField,
    DuplicateField,
    MissingField,
    WrongType,
    InvalidId,
    InvalidAccountId,
    InvalidTimestamp,
    UnknownType,
    ForbiddenAccount,
    InvalidSpecversion,
    InvalidSource,
    InvalidDataContentType,
    InvalidDataBase64,
}

impl Code {
    pub const ALL: [Self; 17] = [
        Self::NotJson,
        Self::NotAnObject,
        Self::EventTooLarge,
        Self::DataTooDeep,
        Self::UnknownField,
        Self::DuplicateField,
        Self::MissingField,
        Self::WrongType,
        Self::InvalidId,
        Self::InvalidAccountId,
        Self::InvalidTimestamp,
        Self::UnknownType,
        Self::ForbiddenAccount,
        Self::InvalidSpecversion,
        Self::InvalidSource,
        Self::InvalidDataContentType,
        Self::InvalidDataBase64,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::EventTooLarge => "event_too_large",
            Self::DataTooDeep => "data_too_deep",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::InvalidId => "invalid_id",
            Self::InvalidAccountId => "invalid_account_id",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::UnknownType => "unknown_type",
            Self::ForbiddenAccount => "forbidden_account",
            Self::InvalidSpecversion => "invalid_specversion",
            Self::InvalidSource => "invalid_source",
            Self::InvalidDataContentType => "invalid_datacontenttype",
            Self::InvalidDataBase64 => "invalid_data_base64",
        }
    }
}

/// One item that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: Code,
    pub message: String,
    /// The field at fault, by the name that the client uses for it.
    pub field: Option<String>,
    /// The id that the client gave, where it is one, so that a result can be matched.
    pub id: Option<EventId>,
}

impl Rejection {
    pub fn new(code: Code, field: Option<&str>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: field.map(quote), id: None }
    }

    pub fn missing(field: &str) -> Self {
        Self::new(Code::MissingField, Some(field), format!("`{field}` is required"))
    }

    pub fn wrong_type(field: &str, wanted: &str) -> Self {
        Self::new(Code::WrongType, Some(field), format!("`{field}` must be {wanted}"))
    }
}

/// Text of the client, cut to what a message may hold.
pub fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTE_LEN_MAX).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}

/// The name among `known` that `text` was probably meant to be.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 2 * QUOTE_LEN_MAX {
        return None;
    }
    let text = text.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&text, &name.to_ascii_lowercase()), name))
        .filter(|(edits, name)| *edits <= NEAREST_EDITS_MAX.min(name.len() / 2))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        let known = ["accountId", "type", "id", "data", "timestamp"];
        let check = |text: &str, want: Option<&str>| assert_eq!(nearest(text, known), want, "{text}");
        check("account_id", Some("accountId"));
        check("accountid", Some("accountId"));
        check("tpye", Some("type"));
        check("date", Some("data"));
        check("payload", None);
        check(&"x".repeat(1000), None);
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
    }

    #[test]
    fn quotes_are_bounded() {
        assert_eq!(quote("short"), "short");
        assert_eq!(quote(&"ü".repeat(1000)).chars().count(), QUOTE_LEN_MAX + 1);
    }
}

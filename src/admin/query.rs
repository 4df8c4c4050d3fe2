//! Query strings of lists: `limit`, `cursor`, and the filters that a list knows.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::Problem;
use crate::model::UnixMillis;
use crate::registry::FieldError;

pub const LIMIT_DEFAULT: usize = 50;
pub const LIMIT_MAX: usize = 250;

/// The query string, not yet judged.
pub struct RawQuery(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for RawQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }
}

/// A judged query string; collects what is wrong with it.
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl RawQuery {
    /// Every name must be `limit`, `cursor` or one of `filters`, and stand once: a mistyped filter that
    /// was passed over would give a wrong answer.
    pub fn judge(self, filters: &[&str]) -> Query {
        let mut errors = Vec::new();
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !["limit", "cursor"].contains(&name.as_str()) && !filters.contains(&name.as_str()) {
                errors.push(FieldError::new(name.clone(), "is no known parameter"));
            } else if self.0.iter().take(index).any(|(other, _)| other == name) {
                errors.push(FieldError::new(name.clone(), "is given twice"));
            }
        }
        errors.truncate(crate::registry::ERRORS_MAX);
        Query { pairs: self.0, errors }
    }
}

impl Query {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn error(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(name, message));
    }

    /// Reads a value; `message` is what it must be.
    pub fn read<T>(&mut self, name: &str, message: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.get(name)?;
        let value = parse(text);
        if value.is_none() {
            self.error(name, message);
        }
        value
    }

    pub fn limit(&mut self) -> usize {
        let fits = |text: &str| text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        self.read("limit", "must be a whole number from 1 to 250", fits).unwrap_or(LIMIT_DEFAULT)
    }

    pub fn cursor<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.read("cursor", "must be the \"next\" of an earlier answer", |text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            parse(std::str::from_utf8(&bytes).ok()?)
        })
    }

    pub fn time(&mut self, name: &str) -> Option<UnixMillis> {
        self.read(name, "must be a time as in RFC 3339", UnixMillis::parse_rfc3339)
    }

    /// # Errors
    /// 422 with all that was found wrong.
    pub fn done(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// What a client sends back to go on. Opaque to it.
pub fn cursor_text(inner: &str) -> String {
    URL_SAFE_NO_PAD.encode(inner)
}

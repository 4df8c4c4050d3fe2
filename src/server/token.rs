//! The operator's token: from the environment, or made once and left beside the store.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::durable;
use crate::rt::random;

/// The variable that overrides the file.
const VARIABLE: &str = "POSTRIDER_OPERATOR_TOKEN";
/// The file's name in the data directory.
const FILE: &str = "operator.token";
/// Characters below which a token is warned of: fewer can be guessed. It is the operator's to decide.
const LEN_GUESSABLE: usize = 16;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{} cannot be read or written", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{from} must hold a token: visible ASCII characters, none of them a space")]
    Unusable { from: String },
}

/// The token, and the file that holds it where it did not come from the environment.
pub struct OperatorToken {
    text: String,
    file: Option<PathBuf>,
}

impl OperatorToken {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

pub fn operator_token(data_dir: &Path) -> Result<OperatorToken, TokenError> {
    let checked = |text: &str, from: String, file| {
        let text = text.trim();
        // Anything else could not be sent in an Authorization header.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unusable { from });
        }
        if text.len() < LEN_GUESSABLE {
            tracing::warn!(%from, "the operator's token is short enough to be guessed");
        }
        Ok(OperatorToken { text: text.to_owned(), file })
    };
    if let Some(text) = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
        return checked(&text, VARIABLE.to_owned(), None);
    }
    let path = data_dir.join(FILE);
    let failed = |source| TokenError::File { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => checked(&text, path.display().to_string(), Some(path.clone())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("prt_{}", URL_SAFE_NO_PAD.encode(random::bytes::<32>()));
            durable::write(&path, format!("{text}\n").as_bytes(), 0o600).map_err(failed)?;
            Ok(OperatorToken { text, file: Some(path.clone()) })
        }
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_token() {
        let dir = tempfile::tempdir().expect("a directory");
        let check = |text: &str, want: Option<&str>| {
            std::fs::write(dir.path().join(FILE), text).expect("is written");
            let got = operator_token(dir.path());
            assert_eq!(got.as_ref().ok().map(OperatorToken::as_str), want, "{text:?}");
        };
        check("prt_0123456789abcdef\n", Some("prt_0123456789abcdef"));
        check("short", Some("short"));
        check("", None);
        check(" \n", None);
        check("a b", None);
        check("caf\u{e9}", None);
    }

    #[test]
    fn a_missing_file_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let first = operator_token(dir.path()).expect("is made");
        let file = first.file().expect("is in a file");
        assert_eq!(std::fs::metadata(file).expect("is there").permissions().mode() & 0o777, 0o600);
        let second = operator_token(dir.path()).expect("is read");
        assert_eq!(second.as_str(), first.as_str());
    }
}

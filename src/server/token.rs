//! The operator's token: from the environment, or made once and left beside the store.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::rt::random;

/// The variable that overrides the file.
const VARIABLE: &str = "POSTRIDER_OPERATOR_TOKEN";
/// The file's name in the data directory.
const FILE: &str = "operator.token";
/// Characters that a token must have at least: fewer can be guessed.
const LEN_MIN: usize = 16;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{} cannot be read or written", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{from} must hold at least 16 characters, none of them a space")]
    TooShort { from: String },
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
        if text.len() < LEN_MIN || text.contains(char::is_whitespace) {
            return Err(TokenError::TooShort { from });
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
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(OperatorToken { text, file: Some(path.clone()) })
        }
        Err(source) => Err(failed(source)),
    }
}

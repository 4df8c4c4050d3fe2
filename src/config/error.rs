//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::catalogue::CustomProblem;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("{message}, in `{about}`")]
    Syntax { message: String, about: String },
    #[error("unknown key{}", hint(.nearest.as_deref()))]
    UnknownKey { nearest: Option<String> },
    #[error("no such setting{}", hint(.nearest.as_deref()))]
    UnknownVariable { nearest: Option<String> },
    #[error("is given twice")]
    Twice,
    #[error("must be {want}, is {got}")]
    Type { want: &'static str, got: &'static str },
    #[error("must be {want}, is {text:?}")]
    Format { want: &'static str, text: String },
    #[error("must be from {min} to {max}, is {value}")]
    Range { value: String, min: String, max: String },
    #[error("must be at most {other} ({limit}), is {value}")]
    Over { value: String, other: &'static str, limit: String },
    #[error("must not be empty")]
    Empty,
    #[error("needs {other} beside it")]
    Alone { other: &'static str },
    #[error("{text:?} is there twice")]
    Repeated { text: String },
    #[error("must be at most {max} entries, has {len}")]
    TooMany { len: usize, max: usize },
    #[error("must be at most {max} bytes, has {len}")]
    TooLong { len: usize, max: usize },
    #[error(transparent)]
    EventType(CustomProblem),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}

/// A problem before it is known which file it is in.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Option<Place>,
    pub(super) key: String,
    pub(super) problem: Problem,
}

/// One thing that is wrong; its text is one line for an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    /// `None` where there is no file.
    pub file: Option<Arc<PathBuf>>,
    /// `None` where the value is a default that does not fit.
    pub place: Option<Place>,
    /// Dotted, e.g. `delivery.timeout`; empty where a line could not be read at all.
    pub key: String,
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.file) {
            (Some(Place::Line(line)), Some(file)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(Place::Line(line)), None) => write!(f, "line {line}: ")?,
            (Some(Place::Variable(name)), _) => write!(f, "{name}: ")?,
            (None, _) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ConfigError {}

/// Puts the errors into the order of the file, variables last.
pub(super) fn report(path: Option<&Path>, mut found: Vec<Found>) -> Vec<ConfigError> {
    found.sort_by(|left, right| left.place.cmp(&right.place));
    let file = path.map(|path| Arc::new(path.to_path_buf()));
    let error = |Found { place, key, problem }| ConfigError { file: file.clone(), place, key, problem };
    found.into_iter().map(error).collect()
}

//! The catalogue with the configured types, whose bits are remembered in `event-types.json`.
//!
//! A bit is never given twice, even when its type was dropped from the configuration long ago: stored
//! masks hold bits. So an assignment is on disk before anything uses it.

use std::path::{Path, PathBuf};

use super::durable;
use crate::model::{Catalogue, CustomType, TypeBit};

const FILE: &str = "event-types.json";

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum TypesError {
    #[error("{} cannot be read or written", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is damaged", .path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("event types: {0}")]
    Invalid(String),
}

pub fn catalogue(data_dir: &Path, configured: &[CustomType]) -> Result<Catalogue, TypesError> {
    let path = data_dir.join(FILE);
    let failed = |source| TypesError::File { path: path.clone(), source };
    let mut known: Vec<(String, u8)> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|source| TypesError::Damaged { path: path.clone(), source })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(failed(source)),
    };
    let existing: Vec<_> = known.iter().map(|(id, bit)| (id.clone(), TypeBit(*bit))).collect();
    let assignment = Catalogue::assign(&existing, configured).map_err(|errors| {
        TypesError::Invalid(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    if !assignment.added.is_empty() {
        known.extend(assignment.added.iter().map(|(id, bit)| (id.clone(), bit.0)));
        let text = serde_json::to_vec_pretty(&known)
            .map_err(|source| TypesError::Damaged { path: path.clone(), source })?;
        durable::write(&path, &text, 0o666).map_err(failed)?;
    }
    Ok(assignment.catalogue)
}

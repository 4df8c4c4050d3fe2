//! `postrider serve`: runs the engine.

use std::path::Path;

use super::{Done, Failure, check_config};

pub(super) fn run(config: Option<&Path>) -> Done {
    check_config::load(config)?;
    Err(Failure::new("serve is not built yet"))
}

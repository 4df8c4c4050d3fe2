//! placeholder
use serde::Deserialize;
#[derive(Clone, Debug, Deserialize)]
pub struct EventType {
    pub id: String,
}
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    types: Vec<EventType>,
}

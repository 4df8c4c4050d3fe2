//! Realistic events: each type's sample, in turn, with ids of its own.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::ACCOUNT;
use crate::model::{Catalogue, TypeBit};
use crate::rt::clock;

pub(super) struct Events<'a> {
    catalogue: &'a Catalogue,
    types: Vec<TypeBit>,
    made: usize,
}

impl<'a> Events<'a> {
    pub(super) fn new(catalogue: &'a Catalogue) -> Self {
        Self { catalogue, types: catalogue.iter().map(|kind| kind.bit).collect(), made: 0 }
    }

    /// `many` events as NDJSON, and their types.
    pub(super) fn batch(&mut self, many: u64) -> (Bytes, Vec<TypeBit>) {
        let mut lines = Vec::new();
        let mut kinds = Vec::new();
        for _ in 0..many {
            let Some(bit) = self.types.get(self.made % self.types.len().max(1)).copied() else { break };
            let Some(kind) = self.catalogue.get(bit) else { continue };
            self.made += 1;
            let event = Value::Object(Map::from_iter([
                ("id".to_owned(), Value::from(format!("demo-{:08}", self.made))),
                ("accountId".to_owned(), Value::from(ACCOUNT)),
                // Every third one by the name that the platform's own seed data uses.
                (
                    "type".to_owned(),
                    Value::from(if self.made.is_multiple_of(3) { &*kind.name } else { &*kind.id }),
                ),
                ("timestamp".to_owned(), Value::from(clock::wall().to_rfc3339())),
                ("data".to_owned(), self.data(kind.sample.as_str())),
            ]));
            lines.extend_from_slice(event.to_string().as_bytes());
            lines.push(b'\n');
            kinds.push(bit);
        }
        (Bytes::from(lines), kinds)
    }

    /// The sample, told apart from the last one of its type by its own id.
    fn data(&self, sample: &str) -> Value {
        let mut data: Value = serde_json::from_str(sample).unwrap_or_default();
        for member in ["eventId", "sensorId", "groupId", "resourceId", "id"] {
            if let Some(Value::String(id)) = data.get_mut(member) {
                *id = format!("{id}-{}", self.made);
                break;
            }
        }
        data
    }
}

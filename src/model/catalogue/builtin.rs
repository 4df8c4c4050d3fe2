//! Reads the embedded data files `catalogue/<group>.json`.
//!
//! A file is one group: the fields that its types share, each described once, and the types, which name
//! the fields of their `data` and give a sample. What is made of it here is a JSON Schema per type that
//! stands on its own. To add a type: append it to its group with the lowest bit that was never used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::EventType;
use crate::model::json::JsonObject;
use crate::model::mask::TypeBit;

/// In the order in which the console shows the groups.
const GROUPS: [&str; 7] = [
    include_str!("../../../catalogue/visitor.json"),
    include_str!("../../../catalogue/reservation.json"),
    include_str!("../../../catalogue/analytics.json"),
    include_str!("../../../catalogue/iot.json"),
    include_str!("../../../catalogue/user.json"),
    include_str!("../../../catalogue/device.json"),
    // What the engine makes itself; see `model::operational`.
    include_str!("../../../catalogue/postrider.json"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group<'a> {
    #[serde(rename = "group")]
    name: &'a str,
    /// Schemas that fields refer to by `#/$defs/<name>`; they do not refer to one another.
    #[serde(rename = "$defs", borrow)]
    defs: BTreeMap<&'a str, &'a RawValue>,
    #[serde(borrow)]
    fields: BTreeMap<&'a str, &'a RawValue>,
    #[serde(borrow)]
    types: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    bit: u8,
    id: &'a str,
    name: &'a str,
    #[serde(default, borrow)]
    aliases: Vec<&'a str>,
    #[serde(default)]
    gated: bool,
    description: &'a str,
    fields: Vec<&'a str>,
    #[serde(borrow)]
    sample: &'a RawValue,
}

#[derive(Serialize)]
struct Schema<'a> {
    #[serde(rename = "$schema")]
    dialect: &'static str,
    title: &'a str,
    description: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(serialize_with = "in_order")]
    properties: Vec<(&'a str, &'a RawValue)>,
    required: &'a [&'a str],
    #[serde(rename = "$defs", serialize_with = "in_order", skip_serializing_if = "Vec::is_empty")]
    defs: Vec<(&'a str, &'a RawValue)>,
}

fn in_order<S: Serializer>(pairs: &[(&str, &RawValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}

#[derive(Debug, thiserror::Error)]
enum BuiltinError {
    #[error("not what a group file looks like: {0}")]
    File(#[from] serde_json::Error),
    #[error(transparent)]
    Object(#[from] crate::model::json::JsonObjectError),
    #[error("{id}: the field {field} is not described")]
    UnknownField { id: String, field: String },
}

/// All built-in types.
#[expect(clippy::expect_used, reason = "the files are part of the program and every test reads them")]
pub(super) fn types() -> Vec<EventType> {
    GROUPS.iter().flat_map(|text| group(text).expect("embedded catalogue")).collect()
}

fn group(text: &str) -> Result<Vec<EventType>, BuiltinError> {
    let group: Group<'_> = serde_json::from_str(text)?;
    group.types.iter().map(|entry| event_type(&group, entry)).collect()
}

fn event_type(group: &Group<'_>, entry: &Entry<'_>) -> Result<EventType, BuiltinError> {
    Ok(EventType {
        bit: TypeBit(entry.bit),
        id: entry.id.into(),
        name: entry.name.into(),
        group: group.name.into(),
        aliases: entry.aliases.iter().map(|alias| (*alias).into()).collect(),
        gated: entry.gated,
        schema: schema(group, entry)?,
        sample: JsonObject::parse(entry.sample.get())?,
    })
}

fn schema(group: &Group<'_>, entry: &Entry<'_>) -> Result<JsonObject, BuiltinError> {
    let unknown =
        |field: &str| BuiltinError::UnknownField { id: entry.id.to_owned(), field: field.to_owned() };
    let properties = entry
        .fields
        .iter()
        .map(|field| Ok((*field, *group.fields.get(field).ok_or_else(|| unknown(field))?)))
        .collect::<Result<Vec<_>, BuiltinError>>()?;
    let is_used = |def: &str| {
        let reference = format!("\"#/$defs/{def}\"");
        properties.iter().any(|(_, property)| property.get().contains(&reference))
    };
    let defs = group.defs.iter().filter(|(def, _)| is_used(def)).map(|(def, body)| (*def, *body)).collect();
    Ok(JsonObject::of(&Schema {
        dialect: "https://json-schema.org/draft/2020-12/schema",
        title: entry.name,
        description: entry.description,
        kind: "object",
        properties,
        required: &entry.fields,
        defs,
    })?)
}

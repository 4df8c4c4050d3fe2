//! Event types that the operator adds in the configuration, and the bits they get.

use std::collections::BTreeMap;

use super::{Catalogue, EventType, Slot};
use crate::model::json::JsonObject;
use crate::model::mask::{TYPES_MAX, TypeBit};

/// The lowest bit of a configured type. What is below is kept for the types to come with new versions.
pub const CUSTOM_BIT_FIRST: u8 = 128;

/// Bytes at most in an id, a name, a group or an alias of a configured type.
pub const TYPE_NAME_LEN_MAX: usize = 128;

/// An event type of the configuration (`[[event_type]]`), not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomType {
    pub id: String,
    pub name: String,
    pub group: String,
    pub aliases: Vec<String>,
    pub gated: bool,
    /// Where missing: any object.
    pub schema: Option<JsonObject>,
    /// Where missing: the empty object.
    pub sample: Option<JsonObject>,
}

/// What is wrong with a configured type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event_type[{index}].{field} {problem}")]
pub struct CustomTypeError {
    /// Which of the configured types, from 0.
    pub index: usize,
    pub field: &'static str,
    pub problem: CustomProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomProblem {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {TYPE_NAME_LEN_MAX} bytes")]
    TooLong,
    #[error(
        "must be words of letters, digits, `_` and `-` with dots between them, such as parking.spot_taken"
    )]
    IdSyntax,
    #[error("must not hold control characters or end in `*`")]
    NameSyntax,
    #[error("{text:?} is taken by the event type {by}")]
    Taken { text: String, by: String },
    #[error("finds no free place: {} configured types, dropped ones included, are the most", TYPES_MAX - CUSTOM_BIT_FIRST as usize)]
    Full,
}

/// What came of [`Catalogue::assign`].
#[derive(Clone, Debug)]
pub struct Assignment {
    pub catalogue: Catalogue,
    /// Bits that were given now and must be remembered before they are used.
    pub added: Vec<(String, TypeBit)>,
}

impl Catalogue {
    /// The built-in types and the configured ones, whose bits are given afresh in their order.
    /// For where nothing is stored: checks, listings, tests.
    ///
    /// # Errors
    /// All that [`Self::assign`] names.
    pub fn with_custom(configured: &[CustomType]) -> Result<Self, Vec<CustomTypeError>> {
        Self::assign(&[], configured).map(|assignment| assignment.catalogue)
    }

    /// The built-in types and the configured ones: those in `existing` with the bit they had, new ones
    /// with the lowest bit that was never given. What `existing` has and `configured` has not is retired.
    ///
    /// # Errors
    /// Everything that is wrong with the configured types, at once.
    pub fn assign(
        existing: &[(String, TypeBit)],
        configured: &[CustomType],
    ) -> Result<Assignment, Vec<CustomTypeError>> {
        let mut catalogue = Self::builtin();
        let mut bits: BTreeMap<&str, TypeBit> = BTreeMap::new();
        for (id, bit) in existing {
            bits.entry(id).or_insert(*bit);
            if catalogue.get(*bit).is_none() {
                catalogue.set(*bit, Slot::Retired(id.as_str().into()));
            }
        }
        let mut added = Vec::new();
        let mut errors = Vec::new();
        for (index, custom) in configured.iter().enumerate() {
            let found = problems(&catalogue, custom);
            let wrong = |(field, problem)| CustomTypeError { index, field, problem };
            if !found.is_empty() {
                errors.extend(found.into_iter().map(wrong));
                continue;
            }
            let known = bits.get(custom.id.as_str()).copied();
            match known.filter(|bit| catalogue.get(*bit).is_none()).or_else(|| catalogue.free_bit()) {
                Some(bit) => {
                    if known != Some(bit) {
                        added.push((custom.id.clone(), bit));
                    }
                    catalogue.put(custom.at(bit));
                }
                None => errors.push(wrong(("id", CustomProblem::Full))),
            }
        }
        if errors.is_empty() { Ok(Assignment { catalogue, added }) } else { Err(errors) }
    }

    fn free_bit(&self) -> Option<TypeBit> {
        (CUSTOM_BIT_FIRST..=u8::MAX).map(TypeBit).find(|bit| self.id(*bit).is_none())
    }
}

impl CustomType {
    fn at(&self, bit: TypeBit) -> EventType {
        let object = |text| JsonObject::parse(text).ok();
        let any = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}"#;
        EventType {
            bit,
            id: self.id.as_str().into(),
            name: self.name.as_str().into(),
            group: self.group.as_str().into(),
            aliases: self.aliases.iter().map(|alias| alias.as_str().into()).collect(),
            gated: self.gated,
            schema: self.schema.clone().or_else(|| object(any)).unwrap_or_default(),
            sample: self.sample.clone().unwrap_or_default(),
        }
    }
}

/// All that is wrong with one configured type, beside what the catalogue has already.
fn problems(catalogue: &Catalogue, custom: &CustomType) -> Vec<(&'static str, CustomProblem)> {
    let mut found = Vec::new();
    let mut own: Vec<&str> = Vec::new();
    let names = [("id", custom.id.as_str()), ("name", custom.name.as_str())];
    for (field, text) in names.into_iter().chain(custom.aliases.iter().map(|alias| ("aliases", &**alias))) {
        let taken = catalogue.find(text).map(|other| other.id.to_string());
        let taken = taken.or_else(|| (field == "aliases" && own.contains(&text)).then(|| custom.id.clone()));
        own.push(text);
        if let Some(problem) = syntax(field, text) {
            found.push((field, problem));
        } else if let Some(by) = taken {
            found.push((field, CustomProblem::Taken { text: text.to_owned(), by }));
        }
    }
    found.extend(syntax("group", &custom.group).map(|problem| ("group", problem)));
    found
}

fn syntax(field: &'static str, text: &str) -> Option<CustomProblem> {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if text.is_empty() {
        Some(CustomProblem::Empty)
    } else if text.len() > TYPE_NAME_LEN_MAX {
        Some(CustomProblem::TooLong)
    } else if field == "id" && !text.split('.').all(word) {
        Some(CustomProblem::IdSyntax)
    } else if text.ends_with('*') || text.chars().any(char::is_control) {
        Some(CustomProblem::NameSyntax)
    } else {
        None
    }
}

//! A payload filter: a condition over an event's body, so that a subscription gets only what it means.
//!
//! One condition is `{"and": […]}`, `{"or": […]}`, `{"not": …}`, or a path with operators that must all
//! hold: `{"path": "data.floor", "gte": 3, "lt": 10}`. A path that the event does not have makes every
//! operator false but `"exists": false`. Types are never coerced: `"3"` is not `3`, and a string is neither
//! above nor below a number. A text is read and checked once and evaluated often, so it is kept compiled.
//! Deliberately absent: patterns, arithmetic and "any element of", whose cost an Account Owner would choose
//! and every neighbour pay.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::nearest::nearest;

/// Conditions within conditions at most.
pub const DEPTH_MAX: usize = 8;
/// Conditions at most in a filter, `and`, `or` and `not` included.
pub const CONDITIONS_MAX: usize = 64;
/// Values at most in one `in`.
pub const IN_MAX: usize = 100;
/// Bytes at most in a path.
pub const PATH_LEN_MAX: usize = 256;
/// Bytes at most in a string that is compared.
pub const STRING_LEN_MAX: usize = 1024;
/// Bytes at most of the whole filter as JSON.
pub const FILTER_LEN_MAX: usize = 16 * 1024;
/// Errors at most that are told of one filter.
const ERRORS_MAX: usize = 64;

/// What an event has at its top level.
const MEMBERS: [&str; 5] = ["data", "type", "id", "accountId", "timestamp"];
const COMBINERS: [&str; 3] = ["and", "or", "not"];
const WORDS: [&str; 12] =
    ["and", "or", "not", "path", "eq", "in", "gt", "gte", "lt", "lte", "exists", "prefix"];

/// What is wrong with a filter; `field` is a path such as `filter.and[1].path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    pub field: String,
    pub message: String,
}

/// A valid filter, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Filter {
    given: Value,
    text: String,
    root: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    At { path: Vec<Segment>, tests: Vec<Test> },
}

/// One step of a path: a member's name, which in an array is an index.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    name: String,
    index: Option<usize>,
}

impl Segment {
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Clone, Debug)]
enum Test {
    Exists(bool),
    In(Vec<Value>),
    Prefix(String),
    Order { with: Value, less: bool, equal: bool, greater: bool },
}

impl Filter {
    /// Reads a condition; `field` is what errors call it, usually `filter`.
    ///
    /// # Errors
    /// With all that is wrong, or the first 64 of it.
    pub fn parse(value: &Value, field: &str) -> Result<Self, Vec<FilterError>> {
        let mut reader = Reader { errors: Vec::new(), conditions: 0 };
        let text = value.to_string();
        if text.len() > FILTER_LEN_MAX {
            reader.add(field, format!("must be at most {FILTER_LEN_MAX} bytes of JSON"));
            return Err(reader.errors);
        }
        match reader.condition(value, field, 1) {
            Some(root) if reader.errors.is_empty() => Ok(Self { given: value.clone(), text, root }),
            _ => Err(reader.errors),
        }
    }

    /// The condition as it was given.
    #[must_use]
    pub fn given(&self) -> &Value {
        &self.given
    }

    /// The condition as compact JSON; equal conditions have equal texts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether an event, parsed from its top level, fulfils the condition.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.root.holds(event)
    }

    /// Calls `f` with each path that a condition looks at.
    pub(super) fn each_path(&self, f: &mut impl FnMut(&[Segment])) {
        self.root.each_path(f);
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl Condition {
    fn each_path(&self, f: &mut impl FnMut(&[Segment])) {
        match self {
            Self::All(all) | Self::Any(all) => all.iter().for_each(|one| one.each_path(f)),
            Self::Not(one) => one.each_path(f),
            Self::At { path, .. } => f(path),
        }
    }

    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(event)),
            Self::Any(any) => any.iter().any(|one| one.holds(event)),
            Self::Not(one) => !one.holds(event),
            Self::At { path, tests } => {
                let found = path.iter().try_fold(event, |at, segment| match at {
                    Value::Object(map) => map.get(&segment.name),
                    Value::Array(items) => items.get(segment.index?),
                    _ => None,
                });
                tests.iter().all(|test| test.holds(found))
            }
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Exists(want), found) => *want == found.is_some(),
            (_, None) => false,
            (Self::In(values), Some(found)) => values.iter().any(|value| same(found, value)),
            (Self::Prefix(prefix), Some(found)) => {
                found.as_str().is_some_and(|text| text.starts_with(prefix.as_str()))
            }
            (Self::Order { with, less, equal, greater }, Some(found)) => match order(found, with) {
                Some(Ordering::Less) => *less,
                Some(Ordering::Equal) => *equal,
                Some(Ordering::Greater) => *greater,
                None => false,
            },
        }
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        _ => order(left, right) == Some(Ordering::Equal),
    }
}

/// Strings by code points (which UTF-8 sorts as its bytes), numbers by value; nothing else has an order.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => order_numbers(left, right),
        _ => None,
    }
}

/// Exact for all integers of 64 bits, also against fractions; larger ones are what a double makes of them.
fn order_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(left), None) => order_mixed(left, right.as_f64()?),
        (None, Some(right)) => order_mixed(right, left.as_f64()?).map(Ordering::reverse),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the fraction is compared apart; the rest saturates")]
fn order_mixed(whole: i128, other: f64) -> Option<Ordering> {
    if other.is_nan() {
        return None;
    }
    // No whole number of JSON's 64 bits is near an i128's bounds, where the conversion saturates.
    let order = whole.cmp(&(other.trunc() as i128));
    Some(order.then(0.0_f64.partial_cmp(&other.fract())?))
}

struct Reader {
    errors: Vec<FilterError>,
    conditions: usize,
}

impl Reader {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FilterError { field: field.to_owned(), message: message.into() });
        }
    }

    fn condition(&mut self, value: &Value, field: &str, depth: usize) -> Option<Condition> {
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            if self.conditions == CONDITIONS_MAX + 1 {
                self.add(field, format!("is one too many: a filter has at most {CONDITIONS_MAX} conditions"));
            }
            return None;
        }
        if depth > DEPTH_MAX {
            self.add(field, format!("is too deep: conditions nest at most {DEPTH_MAX} deep"));
            return None;
        }
        let Value::Object(map) = value else {
            self.add(field, "must be an object: and, or, not, or a path with operators");
            return None;
        };
        for word in map.keys().filter(|word| !WORDS.contains(&word.as_str())) {
            let hint =
                nearest(word, WORDS).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            let word: String = word.chars().take(64).collect();
            self.add(&format!("{field}.{word}"), format!("is no operator{hint}"));
        }
        let combiners: Vec<&str> = COMBINERS.into_iter().filter(|word| map.contains_key(*word)).collect();
        match combiners.as_slice() {
            [] => self.at(map, field),
            [word] if map.len() == 1 => {
                self.combined(map.get(*word)?, &format!("{field}.{word}"), word, depth)
            }
            [word, ..] => {
                self.add(&format!("{field}.{word}"), "must be alone in its object");
                None
            }
        }
    }

    fn combined(&mut self, value: &Value, field: &str, word: &str, depth: usize) -> Option<Condition> {
        if word == "not" {
            return Some(Condition::Not(Box::new(self.condition(value, field, depth + 1)?)));
        }
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            self.add(field, "must be an array of one condition or more");
            return None;
        };
        // All are read, so that the errors of all are told.
        let read: Vec<Option<Condition>> = (0..)
            .zip(items)
            .map(|(at, item): (usize, _)| self.condition(item, &format!("{field}[{at}]"), depth + 1))
            .collect();
        let read = read.into_iter().collect::<Option<Vec<Condition>>>()?;
        Some(if word == "and" { Condition::All(read) } else { Condition::Any(read) })
    }

    fn at(&mut self, map: &Map<String, Value>, field: &str) -> Option<Condition> {
        let path = self.path(map.get("path"), &format!("{field}.path"));
        let mut tests = Vec::new();
        let mut operators = 0;
        for (word, value) in map.iter().filter(|(word, _)| *word != "path") {
            operators += 1;
            tests.extend(self.test(word, value, &format!("{field}.{word}")));
        }
        if operators == 0 {
            self.add(field, "needs an operator beside its path: eq, in, gt, gte, lt, lte, exists or prefix");
        }
        Some(Condition::At { path: path?, tests })
    }

    fn path(&mut self, value: Option<&Value>, field: &str) -> Option<Vec<Segment>> {
        let Some(text) = value.and_then(Value::as_str) else {
            self.add(field, "must be a string such as \"data.floor\"");
            return None;
        };
        if text.len() > PATH_LEN_MAX {
            self.add(field, format!("must be at most {PATH_LEN_MAX} bytes"));
            return None;
        }
        let first = text.split('.').next().unwrap_or_default();
        if !MEMBERS.contains(&first) {
            let hint =
                nearest(first, MEMBERS).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            self.add(field, format!("must begin with data, type, id, accountId or timestamp{hint}"));
            return None;
        }
        if text.split('.').any(str::is_empty) {
            self.add(field, "must have a name on both sides of each dot");
            return None;
        }
        let index = |name: &str| name.parse().ok().filter(|at: &usize| at.to_string() == name);
        Some(text.split('.').map(|name| Segment { name: name.to_owned(), index: index(name) }).collect())
    }

    fn test(&mut self, word: &str, value: &Value, field: &str) -> Option<Test> {
        let ordered = |less, equal, greater| Test::Order { with: value.clone(), less, equal, greater };
        match word {
            "eq" => self.scalar(value, field).map(|value| Test::In(vec![value])),
            "in" => self.values(value, field).map(Test::In),
            "lt" => self.comparable(value, field).then(|| ordered(true, false, false)),
            "lte" => self.comparable(value, field).then(|| ordered(true, true, false)),
            "gt" => self.comparable(value, field).then(|| ordered(false, false, true)),
            "gte" => self.comparable(value, field).then(|| ordered(false, true, true)),
            "exists" => {
                if !value.is_boolean() {
                    self.add(field, "must be true or false");
                }
                value.as_bool().map(Test::Exists)
            }
            "prefix" => {
                if !value.is_string() {
                    self.add(field, "must be a string");
                }
                let prefix = value.as_str()?;
                self.short(prefix, field).then(|| Test::Prefix(prefix.to_owned()))
            }
            // Told already, as no operator.
            _ => None,
        }
    }

    fn values(&mut self, value: &Value, field: &str) -> Option<Vec<Value>> {
        let Some(items) = value.as_array().filter(|items| (1..=IN_MAX).contains(&items.len())) else {
            self.add(field, format!("must be an array of 1 to {IN_MAX} values"));
            return None;
        };
        let read: Vec<Option<Value>> = (0..)
            .zip(items)
            .map(|(at, item): (usize, _)| self.scalar(item, &format!("{field}[{at}]")))
            .collect();
        read.into_iter().collect()
    }

    fn scalar(&mut self, value: &Value, field: &str) -> Option<Value> {
        let fits = match value {
            Value::String(text) => self.short(text, field),
            Value::Array(_) | Value::Object(_) => {
                self.add(field, "must be a string, a number, a boolean or null");
                false
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        };
        fits.then(|| value.clone())
    }

    fn comparable(&mut self, value: &Value, field: &str) -> bool {
        match value {
            Value::String(text) => self.short(text, field),
            Value::Number(_) => true,
            _ => {
                self.add(field, "must be a number or a string");
                false
            }
        }
    }

    fn short(&mut self, text: &str, field: &str) -> bool {
        let short = text.len() <= STRING_LEN_MAX;
        if !short {
            self.add(field, format!("must be at most {STRING_LEN_MAX} bytes"));
        }
        short
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;

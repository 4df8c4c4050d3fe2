//! From text and environment to a configuration: names every value by its dotted key, then lets the
//! list of keys take what it knows.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::check;
use super::error::{Found, Place, Problem};
use super::keys::{Section, Visitor};
use super::value::{Setting, Shape, excerpt, kind};
use crate::model::nearest::nearest;

/// What environment variables of the configuration begin with.
const VARIABLE_PREFIX: &str = "POSTRIDER_";

pub(super) fn load(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Vec<Found>> {
    let known = Known::new();
    let mut document = Document::default();
    let lines = Lines::of(text);
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        let number = error.span().map(|span| lines.number(span.start));
        // Only the first line: the rest would draw the text it is about.
        let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
        let about = number.and_then(|number| text.lines().nth(number - 1)).unwrap_or_default();
        let problem = Problem::Syntax { message, about: excerpt(about.trim()) };
        document.found.push(Found { place: number.map(Place::Line), key: String::new(), problem });
    }
    if !document.found.is_empty() {
        // What was recovered from a broken file says too much that is not so.
        return Err(document.found);
    }
    document.take_table("", table.get_ref(), &known, &|offset| Place::Line(lines.number(offset)));
    for (name, value) in environment {
        document.take_variable(&name, &value, &known);
    }
    let mut reader = Reader { document, prefix: String::new(), given: Given::default() };
    let mut config = Config::default();
    config.visit(&mut reader);
    let mut found = reader.document.found;
    check::follow(&mut config, &reader.given);
    found.extend(check::check(&config, &reader.given));
    if found.is_empty() { Ok(config) } else { Err(found) }
}

/// Where each line ends, so that asking for a line's number does not read the text again.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset).collect())
    }

    /// The number, from 1, of the line that `offset` is in.
    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

/// Every name there is, lists of tables written as `host[]`.
pub(super) struct Known {
    keys: BTreeMap<String, Shape>,
    sections: BTreeSet<&'static str>,
    lists: BTreeSet<&'static str>,
    prefix: String,
}

impl Known {
    pub(super) fn new() -> Self {
        let mut known = Self {
            keys: BTreeMap::new(),
            sections: BTreeSet::new(),
            lists: BTreeSet::new(),
            prefix: String::new(),
        };
        Config::default().visit(&mut known);
        known
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The known key most like `path`: one with the same last word, or else the one spelt most alike.
    fn nearest_key(&self, path: &str) -> Option<String> {
        let path = without_index(path);
        let word = path.rsplit('.').next();
        let mut same_word = self.keys.keys().filter(|key| key.rsplit('.').next() == word);
        let only = same_word.next().filter(|_| same_word.next().is_none()).cloned();
        only.or_else(|| nearest(&path, self.keys.keys().map(String::as_str)).map(str::to_owned))
    }
}

impl Visitor for Known {
    fn section(&mut self, name: &'static str) {
        self.sections.insert(name);
        self.prefix = format!("{name}.");
    }

    fn key<T: Setting>(&mut self, name: &'static str, _: &mut T) {
        self.keys.insert(format!("{}{name}", self.prefix), T::SHAPE);
    }

    fn tables<T: Section>(&mut self, name: &'static str, _: &mut Vec<T>) {
        self.lists.insert(name);
        self.prefix = format!("{name}[].");
        T::default().visit(self);
    }
}

/// `host[12].spread` → `host[].spread`
fn without_index(path: &str) -> String {
    match (path.find('['), path.find(']')) {
        (Some(from), Some(to)) if from < to => {
            format!("{}[{}", path.get(..from).unwrap_or_default(), path.get(to..).unwrap_or_default())
        }
        _ => path.to_owned(),
    }
}

fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// What was written, by dotted key; wherever it stood.
#[derive(Default)]
struct Document {
    values: BTreeMap<String, (Place, Value)>,
    /// Where each table of each list began.
    lists: BTreeMap<String, Vec<Place>>,
    found: Vec<Found>,
}

impl Document {
    fn wrong(&mut self, place: Place, key: &str, problem: Problem) {
        self.found.push(Found { place: Some(place), key: key.to_owned(), problem });
    }

    fn take_table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        known: &Known,
        place: &dyn Fn(usize) -> Place,
    ) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            self.take(&path, place(key.span().start), value.get_ref(), known, place);
        }
    }

    fn take(
        &mut self,
        path: &str,
        at: Place,
        value: &DeValue<'_>,
        known: &Known,
        place: &dyn Fn(usize) -> Place,
    ) {
        if known.lists.contains(path) {
            return self.take_list(path, at, value, known, place);
        }
        if known.keys.contains_key(&without_index(path)) {
            return match owned(value) {
                Some(value) => self.put(path, at, value),
                None => {
                    self.wrong(at, path, Problem::Format { want: "a number", text: "too large".to_owned() });
                }
            };
        }
        let is_section = known.sections.contains(path);
        match value {
            DeValue::Table(table) if is_section || table.iter().next().is_some() => {
                self.take_table(&format!("{path}."), table, known, place);
            }
            _ if is_section => {
                let got = owned(value).as_ref().map_or("a number", kind);
                self.wrong(at, path, Problem::Type { want: "a section, such as [admin]", got });
            }
            _ => {
                let nearest = known.nearest_key(path);
                self.wrong(at, path, Problem::UnknownKey { nearest });
            }
        }
    }

    fn take_list(
        &mut self,
        path: &str,
        at: Place,
        value: &DeValue<'_>,
        known: &Known,
        place: &dyn Fn(usize) -> Place,
    ) {
        let want = "a list of tables, each begun by its name in double brackets";
        let Some(items) = value.as_array() else {
            let got = owned(value).as_ref().map_or("a number", kind);
            return self.wrong(at, path, Problem::Type { want, got });
        };
        for (index, item) in items.iter().enumerate() {
            let begin = place(item.span().start);
            let Some(table) = item.get_ref().as_table() else {
                let got = owned(item.get_ref()).as_ref().map_or("a number", kind);
                self.wrong(begin, path, Problem::Type { want, got });
                continue;
            };
            self.take_table(&format!("{path}[{index}]."), table, known, place);
            self.lists.entry(path.to_owned()).or_default().push(begin);
        }
    }

    fn put(&mut self, path: &str, at: Place, value: Value) {
        // `a.b = 1` and `"a.b" = 2` are two keys for TOML and one for us.
        if let Some((before, _)) = self.values.insert(path.to_owned(), (at.clone(), value)) {
            self.wrong(at.max(before), path, Problem::Twice);
        }
    }

    /// A variable goes over what the file says.
    fn take_variable(&mut self, name: &str, text: &str, known: &Known) {
        let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { return };
        let at = Place::Variable(name.to_owned());
        let key = known.keys.iter().find(|(key, _)| !key.contains('[') && variable_of(key) == name);
        if let Some((key, shape)) = key {
            self.values.insert(key.clone(), (at, variable_value(text, *shape)));
        } else if let Some(list) = known.lists.iter().find(|list| variable_of(list) == name) {
            let inside = format!("{list}[");
            self.values.retain(|key, _| !key.starts_with(&inside));
            self.lists.remove(*list);
            match DeValue::parse(text) {
                Ok(value) => self.take(list, at.clone(), value.get_ref(), known, &|_| at.clone()),
                Err(error) => {
                    let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
                    self.wrong(at, list, Problem::Syntax { message, about: excerpt(text) });
                }
            }
        } else if rest.contains("__") {
            // Compared without the prefix, which would make everything look alike.
            let bare = |key: &String| variable_of(key).replacen(VARIABLE_PREFIX, "", 1);
            let names: Vec<String> = known.keys.keys().filter(|key| !key.contains('[')).map(bare).collect();
            let nearest = nearest(rest, names.iter().map(String::as_str));
            let nearest = nearest.map(|name| format!("{VARIABLE_PREFIX}{name}"));
            self.wrong(at, "", Problem::UnknownVariable { nearest });
        }
    }
}

fn variable_value(text: &str, shape: Shape) -> Value {
    let literal = || DeValue::parse(text.trim()).ok().and_then(|value| owned(value.get_ref()));
    let string = || Value::String(text.to_owned());
    match shape {
        Shape::Text => string(),
        Shape::Literal => literal().unwrap_or_else(string),
        Shape::List => literal().filter(Value::is_array).unwrap_or_else(|| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }),
    }
}

/// `None` where a number does not fit.
fn owned(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(value) => Value::Datetime(*value),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| owned(item.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), owned(value.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
    })
}

/// Which keys were given, where, and which of them could not be read.
#[derive(Default)]
pub(super) struct Given {
    places: BTreeMap<String, Place>,
    unread: BTreeSet<String>,
}

impl Given {
    /// Whether the key was given (well or badly).
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Whether the key holds its default because what was given is no value for it.
    pub(super) fn is_unread(&self, key: &str) -> bool {
        self.unread.contains(key)
    }

    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.places.get(key).cloned()
    }
}

/// Takes what the document has into the configuration.
struct Reader {
    document: Document,
    prefix: String,
    given: Given,
}

impl Visitor for Reader {
    fn section(&mut self, name: &'static str) {
        self.prefix = format!("{name}.");
    }

    fn key<T: Setting>(&mut self, name: &'static str, value: &mut T) {
        let path = format!("{}{name}", self.prefix);
        let Some((place, given)) = self.document.values.get(&path) else { return };
        let place = place.clone();
        match T::read(given) {
            Ok(read) => *value = read,
            Err(problem) => {
                self.given.unread.insert(path.clone());
                self.document.wrong(place.clone(), &path, problem);
            }
        }
        self.given.places.insert(path, place);
    }

    fn tables<T: Section>(&mut self, name: &'static str, items: &mut Vec<T>) {
        let begins = self.document.lists.get(name).cloned().unwrap_or_default();
        for (index, begin) in begins.into_iter().enumerate() {
            self.prefix = format!("{name}[{index}].");
            self.given.places.insert(format!("{name}[{index}]"), begin);
            let mut item = T::default();
            item.visit(self);
            items.push(item);
        }
    }
}

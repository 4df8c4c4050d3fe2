//! Paths: the parts of a body that filters look at, so that the rest is skipped and not kept.
//!
//! Most of an event is of no interest to any filter. Skipping a member costs a scan for its end; keeping it
//! costs allocations, which is three quarters of the time of a whole parse. What is read this way looks the
//! same to the filters it is read for as the whole would, and to no other.

use std::fmt;

use foldhash::HashMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::filter::Filter;

/// A tree of member names. The whole of a leaf is kept.
#[derive(Debug, Default)]
pub struct Paths {
    below: HashMap<String, Paths>,
    whole: bool,
}

impl Paths {
    /// The parts that any of these looks at.
    #[must_use]
    pub fn of<'f>(filters: impl IntoIterator<Item = &'f Filter>) -> Self {
        let mut paths = Self::default();
        for filter in filters {
            filter.each_path(&mut |path| {
                let leaf = path
                    .iter()
                    .fold(&mut paths, |at, segment| at.below.entry(segment.name().to_owned()).or_default());
                leaf.whole = true;
            });
        }
        paths
    }

    /// Those parts of a body; `None` where it is no JSON, or one of them cannot be held.
    #[must_use]
    pub fn read(&self, body: &[u8]) -> Option<Value> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = self.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(read)
    }
}

impl<'de> DeserializeSeed<'de> for &Paths {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        if self.whole { serde::Deserialize::deserialize(json) } else { json.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for &Paths {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(found) = map.next_key_seed(Name(self))? {
            match found {
                Some((name, below)) => drop(kept.insert(name.to_owned(), map.next_value_seed(below)?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(kept))
    }

    /// Items keep their places; those that nobody looks at are `null`.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let last = self.below.keys().filter_map(|name| name.parse::<usize>().ok()).max();
        let mut kept = Vec::new();
        for at in (0..).take_while(|at| last.is_some_and(|last| *at <= last)) {
            let item = match self.below.get(at.to_string().as_str()) {
                Some(below) => items.next_element_seed(below)?,
                None => items.next_element::<IgnoredAny>()?.map(|_| Value::Null),
            };
            let Some(item) = item else { return Ok(Value::Array(kept)) };
            kept.push(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(kept))
    }

    // Below here the body has no members, so that no path leads further, whatever is there.

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// A member's name, looked up where it is read, so that nothing is copied.
struct Name<'p>(&'p Paths);

impl<'de, 'p> DeserializeSeed<'de> for Name<'p> {
    type Value = Option<(&'p str, &'p Paths)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = Option<(&'p str, &'p Paths)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.below.get_key_value(name).map(|(name, below)| (name.as_str(), below)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn filter(condition: &Value) -> Filter {
        Filter::parse(condition, "filter").expect("a valid filter")
    }

    #[test]
    fn only_what_is_looked_at_is_kept() {
        let filters = [
            filter(
                &json!({"and": [{"path": "data.a.b", "eq": 1}, {"not": {"path": "data.list.1.x", "exists": true}}]}),
            ),
            filter(&json!({"path": "type", "prefix": "user."})),
        ];
        let paths = Paths::of(&filters);
        let body = r#"{"id":"e","type":"user.created","data":{"big":1e999,"a":{"b":{"c":2},"d":3},
            "list":[1,{"x":4,"y":5},6],"a2":{"b":1}}}"#;
        let want = json!({"type": "user.created", "data": {"a": {"b": {"c": 2}}, "list": [null, {"x": 4}]}});
        assert_eq!(paths.read(body.as_bytes()), Some(want));
        assert_eq!(paths.read(br#"{"type":1e999}"#), None, "a number that nothing holds");
        assert_eq!(paths.read(br#"{"type":1} x"#), None);
        assert_eq!(paths.read(b"{"), None);
        assert_eq!(
            paths.read(br#"{"data":{"a":7,"list":"text"}}"#),
            Some(json!({"data": {"a": null, "list": null}}))
        );
        let twice = paths.read(br#"{"data":{"a":{"b":1}},"data":{"\u0061":{"b":2}}}"#);
        assert_eq!(twice, Some(json!({"data": {"a": {"b": 2}}})), "the last one counts");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4).prop_map(Value::from),
            (-2.0..2.0).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ab012]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn any_condition() -> impl Strategy<Value = Value> {
        let path = proptest::collection::vec("[ab012]", 0..4)
            .prop_map(|names| [vec!["data".to_owned()], names].concat().join("."));
        let test = prop_oneof![
            any::<bool>().prop_map(|yes| ("exists", Value::from(yes))),
            (0..4).prop_map(|n| ("eq", Value::from(n))),
            (0..4).prop_map(|n| ("gte", Value::from(n))),
            Just(("eq", Value::Null)),
            Just(("in", json!([false, "a", 1]))),
            "[ab]{0,1}".prop_map(|text| ("prefix", Value::from(text))),
        ];
        let leaf = (path, test).prop_map(|(path, (word, value))| json!({"path": path, word: value}));
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({"and": all})),
                proptest::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({"or": any})),
                inner.prop_map(|one| json!({"not": one})),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn filters_say_the_same_of_a_part_as_of_the_whole(
            data in any_value(),
            conditions in proptest::collection::vec(any_condition(), 1..4),
        ) {
            let filters: Vec<Filter> = conditions.iter().map(filter).collect();
            let whole = json!({"id": "e", "data": data});
            let part = Paths::of(&filters).read(whole.to_string().as_bytes()).expect("readable");
            for filter in &filters {
                prop_assert_eq!(filter.matches(&part), filter.matches(&whole), "{} of {}", filter.as_str(), whole);
            }
        }
    }
}

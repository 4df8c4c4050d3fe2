//! The catalogue: its built-in types against event-types.csv, and types of the configuration.

use crate::model::operational::{DEAD, DISABLED, RECOVERED};
use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// The list that was asked for, as it was asked for.
const ASKED: &str = include_str!("../../../catalogue/event-types.csv");

struct Row<'a> {
    group: &'a str,
    name: &'a str,
    id: &'a str,
    aliases: Vec<&'a str>,
    gated: bool,
    fields: Vec<&'a str>,
}

fn asked() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [group, name, id, aliases, gated, fields] = cells[..] else { panic!("{line}") };
        Row {
            group,
            name,
            id,
            aliases: aliases.split(';').filter(|alias| !alias.is_empty()).collect(),
            gated: gated == "yes",
            fields: fields.trim_matches('"').split(' ').collect(),
        }
    };
    ASKED.lines().skip(1).map(row).collect()
}

/// The part of JSON Schema that the catalogue uses; any other keyword fails the test.
fn check_schema(root: &Value, schema: &Value, value: &Value, path: &str) {
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "examples" => {}
            "$ref" => {
                let target = root.pointer(wanted.as_str().unwrap().trim_start_matches('#'));
                check_schema(root, target.unwrap_or_else(|| panic!("{path}: {wanted}")), value, path);
            }
            "type" => {
                let types: Vec<&str> = match wanted {
                    Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
                    one => vec![one.as_str().unwrap()],
                };
                let has = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                assert!(types.contains(&has), "{path}: {has} is none of {types:?}");
            }
            "format" => match (wanted.as_str().unwrap(), value.as_str()) {
                (_, None) => {}
                ("date-time", Some(text)) => {
                    assert!(crate::model::UnixMillis::parse_rfc3339(text).is_some(), "{path}: {text}");
                }
                ("email", Some(text)) => assert!(text.contains('@') && !text.contains(' '), "{path}: {text}"),
                (format, _) => panic!("{path}: the test does not know the format {format}"),
            },
            "minLength" => {
                assert!(value.as_str().is_none_or(|text| text.len() as u64 >= wanted.as_u64().unwrap()));
            }
            "minItems" => {
                assert!(value.as_array().unwrap().len() as u64 >= wanted.as_u64().unwrap(), "{path}");
            }
            "required" => {
                for name in wanted.as_array().unwrap() {
                    assert!(value.get(name.as_str().unwrap()).is_some(), "{path}: lacks {name}");
                }
            }
            "properties" => {
                for (name, property) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check_schema(root, property, value, &format!("{path}.{name}"));
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().unwrap().iter().enumerate() {
                    check_schema(root, wanted, item, &format!("{path}[{index}]"));
                }
            }
            other => panic!("{path}: the test does not know the keyword {other}"),
        }
    }
}

#[test]
fn builtin_types_are_those_asked_for_and_keep_their_bits() {
    let catalogue = Catalogue::builtin();
    let asked = asked();
    assert_eq!(asked.len(), 39);
    assert_eq!(catalogue.iter().count(), asked.len());
    for (bit, row) in asked.iter().enumerate() {
        let bit = TypeBit(u8::try_from(bit).unwrap());
        let found = catalogue.get(bit).unwrap();
        assert_eq!((found.bit, &*found.id, &*found.name, &*found.group), (bit, row.id, row.name, row.group));
        assert_eq!(found.gated, row.gated, "{}", row.id);
        assert_eq!(found.aliases.iter().map(|alias| &**alias).collect::<Vec<_>>(), row.aliases);
        for text in [row.id, row.name].iter().chain(&row.aliases) {
            assert_eq!(catalogue.resolve(text), Some(bit), "{text}");
        }
    }
    let groups: BTreeSet<_> = catalogue.iter().map(|event_type| &event_type.group).collect();
    assert_eq!(groups.len(), 6);
    assert_eq!(catalogue.gated_mask().bits().count(), 8);
}

#[test]
fn samples_have_the_fields_and_hold_to_the_schema() {
    let catalogue = Catalogue::builtin();
    for row in asked() {
        let found = catalogue.find(row.id).unwrap();
        let schema: Value = serde_json::from_str(found.schema.as_str()).unwrap();
        let sample: Value = serde_json::from_str(found.sample.as_str()).unwrap();
        let fields: BTreeSet<&str> = row.fields.iter().copied().collect();
        let of = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(of(&sample), fields.iter().copied().collect::<Vec<_>>(), "{}", row.id);
        assert_eq!(of(&schema["properties"]), fields.iter().copied().collect::<Vec<_>>(), "{}", row.id);
        assert_eq!(schema["required"].as_array().unwrap().len(), fields.len());
        check_schema(&schema, &schema, &sample, row.id);
    }
}

#[test]
fn what_the_engine_tells_itself() {
    let catalogue = Catalogue::builtin();
    let own: Vec<_> = catalogue.all().filter(|event_type| event_type.bit.is_operational()).collect();
    assert_eq!(catalogue.all().count(), catalogue.iter().count() + own.len());
    assert_eq!(own.iter().map(|own| own.bit).collect::<Vec<_>>(), [DISABLED, DEAD, RECOVERED]);
    for event_type in own {
        assert_eq!((&*event_type.group, event_type.gated), ("Postrider", false));
        assert!(event_type.id.starts_with(crate::model::operational::PREFIX));
        let schema: Value = serde_json::from_str(event_type.schema.as_str()).unwrap();
        let sample: Value = serde_json::from_str(event_type.sample.as_str()).unwrap();
        check_schema(&schema, &schema, &sample, &event_type.id);
    }
}

#[test]
fn selectors() {
    let catalogue = Catalogue::builtin();
    let check = |selector: &str, count: usize, canonical: Option<&str>| {
        let mask = catalogue.expand(selector);
        assert_eq!(mask.map_or(0, |mask| mask.bits().count()), count, "{selector}");
        assert_eq!(catalogue.canonical(selector), canonical, "{selector}");
        assert_eq!(catalogue.expand_stored(selector), mask.unwrap_or_default(), "{selector}");
    };
    check("*", 39, Some("*"));
    check("user.*", 8, Some("user.*"));
    check("postrider.*", 3, Some("postrider.*"));
    check("postrider.subscription.*", 2, Some("postrider.subscription.*"));
    check("postrider.delivery.dead", 1, Some("postrider.delivery.dead"));
    check("user.invitation.*", 3, Some("user.invitation.*"));
    check("device.health.*", 3, Some("device.health.*"));
    check("User Deleted Event", 1, Some("user.deleted"));
    check("UserDeleted Event", 1, Some("user.deleted"));
    check("user.deleted", 1, Some("user.deleted"));
    for nothing in ["", ".", "user", "user.", "use*", "users.*", ".*", "**", "*.created", "USER.DELETED"] {
        check(nothing, 0, None);
    }
}

#[test]
fn proposes_the_nearest_name() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.nearest("device.registred"), Some("device.registered"));
    assert_eq!(catalogue.nearest("User Deletd Event"), Some("User Deleted Event"));
    assert_eq!(catalogue.nearest("something else"), None);
}

fn custom(id: &str) -> CustomType {
    CustomType { id: id.into(), name: format!("{id} Event"), group: "Own".into(), ..CustomType::default() }
}

#[test]
fn configured_types_keep_their_bit_when_others_are_dropped() {
    let (a, b, c) = (custom("own.a"), custom("own.b"), custom("own.c"));
    let first = Catalogue::assign(&[], &[a.clone(), b.clone()]).unwrap();
    let stored = vec![("own.a".to_owned(), TypeBit(128)), ("own.b".to_owned(), TypeBit(129))];
    assert_eq!(first.added, stored);

    let second = Catalogue::assign(&stored, &[c.clone(), b]).unwrap();
    assert_eq!(second.added, [("own.c".to_owned(), TypeBit(130))]);
    assert_eq!(second.catalogue.resolve("own.b"), Some(TypeBit(129)));
    let dropped = (second.catalogue.resolve("own.a"), second.catalogue.get(TypeBit(128)));
    assert_eq!(dropped, (None, None), "nobody can use it");
    assert_eq!(second.catalogue.id(TypeBit(128)), Some("own.a"), "what is stored of it has a name");
    assert_eq!(second.catalogue.expand("own.*").unwrap().bits().count(), 2);
    assert_eq!(second.catalogue.expand("own.a"), None);
    assert_eq!(second.catalogue.expand_stored("own.*").bits().count(), 3);
    assert_eq!(second.catalogue.expand_stored("own.a"), EventMask::of([TypeBit(128)]));

    let back = Catalogue::assign(&stored, &[a]).unwrap();
    assert!(back.added.is_empty());
    assert_eq!(back.catalogue.resolve("own.a"), Some(TypeBit(128)));
    assert_eq!(back.catalogue.find("own.a Event").unwrap().sample.as_str(), "{}");
}

#[test]
fn everything_wrong_with_configured_types_is_said_at_once() {
    let mut taken = custom("user.deleted");
    taken.name = "Own Event".into();
    taken.aliases = vec!["x".into(), "x".into(), "User Created Event".into()];
    let mut odd = custom("no id");
    odd.group = String::new();
    odd.name = "a*".into();
    let twice = [custom("own.a"), custom("own.a")];
    let all = [vec![taken, odd], twice.to_vec()].concat();
    let errors = Catalogue::with_custom(&all).unwrap_err();
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let starts = [
        "event_type[0].id \"user.deleted\" is taken by the event type user.deleted",
        "event_type[0].aliases \"x\" is taken by the event type user.deleted",
        "event_type[0].aliases \"User Created Event\" is taken by the event type user.created",
        "event_type[1].id must be words",
        "event_type[1].name must not hold",
        "event_type[1].group must not be empty",
        "event_type[3].id \"own.a\" is taken",
        "event_type[3].name \"own.a Event\" is taken",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (said, start) in said.iter().zip(starts) {
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn configured_types_are_bounded() {
    let most = TYPES_MAX - usize::from(CUSTOM_BIT_FIRST);
    let all: Vec<_> = (0..=most).map(|n| custom(&format!("own.t{n}"))).collect();
    assert!(Catalogue::with_custom(&all[..most]).is_ok());
    let errors = Catalogue::with_custom(&all).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].index, &errors[0].problem), (most, &CustomProblem::Full));
}

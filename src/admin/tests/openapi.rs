//! The description says what the port does: every route, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::bench::Bench;
use crate::admin::openapi::BASE;
use crate::admin::routes::router;
use crate::model::{Catalogue, UnixMillis};
use crate::registry::{Draft, Patch, TokenDraft, parse_overlap};

fn document(bench: &Bench) -> Value {
    let answer = bench.request("GET", "/api/v1/openapi.json", &[("authorization", "")], None);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

/// The paths below `/api/v1`, as the router itself tells them.
fn routes(bench: &Bench) -> BTreeSet<String> {
    let told = format!("{:?}", router(Arc::clone(&bench.admin)));
    let strings = told.split('"').skip(1).step_by(2);
    let paths: BTreeSet<String> =
        strings.filter(|text| text.starts_with(BASE) && !text.contains('*')).map(str::to_owned).collect();
    assert!(paths.len() > 15, "the router tells its paths no longer: {paths:?}");
    paths.into_iter().filter(|path| path != BASE && path != "/api/v1/").collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let bench = Bench::new();
    let document = document(&bench);
    let described = document["paths"].as_object().expect("paths");
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), routes(&bench));
    for (path, operations) in described {
        // What a path knows is in the answer to what none knows.
        let answer = bench.request("TRACE", path, &[], None);
        assert_eq!(answer.status, 405, "{path}");
        let allow = answer.header("allow").expect("an Allow header");
        let allowed = allow.split(',').map(|m| m.trim().to_ascii_lowercase()).filter(|m| m != "head");
        let known = operations.as_object().expect("operations").keys().cloned();
        assert_eq!(known.collect::<BTreeSet<_>>(), allowed.collect(), "{path}");
    }
}

#[test]
fn every_reference_has_its_schema_and_every_operation_its_id() {
    let document = document(&Bench::new());
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let named: BTreeSet<&str> =
        text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(named, schemas.keys().map(String::as_str).collect());
    let mut ids = BTreeSet::new();
    for operation in document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .flat_map(|path| path.as_object().expect("one").values())
    {
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{operation}");
        assert!(
            operation["summary"].is_string() && !operation["responses"].as_object().expect("some").is_empty()
        );
    }
}

#[test]
fn links_lead_to_operations_and_fill_their_paths() {
    let document = document(&Bench::new());
    let operations: Vec<(&String, &Value)> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().expect("some").values().map(move |one| (path, one))
        })
        .collect();
    let mut sources = BTreeSet::new();
    for (_, source) in &operations {
        for (status, answer) in source["responses"].as_object().expect("some") {
            for (_, link) in answer["links"].as_object().into_iter().flatten() {
                let (path, _) = operations
                    .iter()
                    .find(|(_, one)| one["operationId"] == link["operationId"])
                    .expect("one");
                let filled: BTreeSet<&str> =
                    link["parameters"].as_object().expect("some").keys().map(String::as_str).collect();
                let asked = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
                assert_eq!(filled, asked.collect(), "{link}");
                sources.insert(format!("{} {status}", source["operationId"].as_str().expect("an id")));
            }
        }
    }
    let want = [
        "createSubscription 201",
        "createToken 201",
        "listDeliveries 200",
        "listEventTypes 200",
        "listEvents 200",
        "putAccount 200",
        "putAccount 201",
        "recoverDeliveries 202",
        "resendDelivery 202",
    ];
    assert_eq!(sources, want.map(str::to_owned).into());
}

#[test]
fn examples_are_taken_and_no_field_is_left_out() {
    let document = document(&Bench::new());
    let schemas = &document["components"]["schemas"];
    let example = |name: &str| &schemas[name]["examples"][0];
    let catalogue = Catalogue::builtin();
    Draft::parse(example("SubscriptionDraft"), &catalogue).expect("a draft");
    Patch::parse(example("SubscriptionPatch"), &catalogue).expect("a patch");
    TokenDraft::parse(example("TokenDraft"), UnixMillis(0)).expect("a token");
    parse_overlap(Some(example("SecretRotation"))).expect("an overlap");
    // What each parser says of a field that it knows is another thing than of one that it does not.
    for (name, properties) in [("SubscriptionDraft", true), ("SubscriptionPatch", false)] {
        for field in schemas[name]["properties"].as_object().expect("some").keys() {
            let body = serde_json::json!({ field: 5 });
            let errors = if properties {
                Draft::parse(&body, &catalogue).err()
            } else {
                Patch::parse(&body, &catalogue).err()
            };
            let said = format!("{errors:?}");
            assert!(!said.contains("no known field"), "{name}.{field}: {said}");
        }
    }
}

/// Codes stand where the refusals are made; the list of them must not fall behind.
#[test]
fn every_code_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
    let known: BTreeSet<&str> = crate::admin::openapi::CODES.iter().copied().collect();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        for rest in text.split("StatusCode::").skip(1) {
            let Some((_, rest)) = rest.split_once(',') else { continue };
            let Some(code) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
            else {
                continue;
            };
            if code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                assert!(known.contains(code), "{}: {code}", path.display());
                found.insert(code.to_owned());
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
}

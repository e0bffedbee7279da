use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::config::template::{TEMPLATES, template};

/// Keywords that `shape.rs` understands, and those that say nothing about a value.
const KEYWORDS: [&str; 20] = [
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "properties",
    "required",
    "title",
    "type",
];

fn check_keywords(schema: &Value, path: &str) {
    let Some(object) = schema.as_object() else {
        return;
    };
    for (key, value) in object {
        let is_known = KEYWORDS.contains(&key.as_str()) || [LATE, SWITCH, "writeOnly"].contains(&key.as_str());
        assert!(is_known, "{path}: {key}");
        match key.as_str() {
            "properties" | "$defs" => {
                for (name, inner) in value.as_object().unwrap() {
                    check_keywords(inner, &format!("{path}/{name}"));
                }
            }
            "items" | "additionalProperties" => check_keywords(value, &format!("{path}/{key}")),
            _ => {}
        }
    }
}

#[test]
fn the_schemas_have_only_keywords_that_are_checked() {
    check_keywords(version_1(), "");
    check_keywords(crate::config::legacy::schema(), "");
}

fn check_meaning(schema: &Value, path: &str) {
    for (name, property) in properties(schema) {
        let path = format!("{path}.{name}");
        assert!(
            property["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{path}"
        );
        let target = resolve(version_1(), property);
        let kinds = &target["type"];
        let is_whole = kinds == "integer" || kinds == &json!(["integer", "null"]);
        // 64 bits hold any number that the check lets through; of smaller types, the bounds must be told.
        let is_small = is_whole && target["format"] != "uint64" && target["format"] != "int64";
        assert!(!is_small || target["maximum"].is_number(), "{path} has no maximum");
    }
}

#[test]
fn every_member_is_described_and_bounded() {
    check_meaning(version_1(), "");
    for (name, definition) in version_1()["$defs"].as_object().unwrap() {
        check_meaning(definition, name);
    }
}

/// A document as an editor's validator sees it: without variables.
fn as_json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[rstest]
fn templates_fit_the_schema_for_editors(#[values("duo", "trio", "support")] name: &str) {
    assert!(TEMPLATES.contains(&name));
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let (_, text) = template(name).unwrap()[0];
    let document = as_json(text);
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[rstest]
#[case("limits", json!({ "max_steps": 3 }), true)]
#[case("limits", json!({ "max_steps": "${STEPS:-3}" }), true)]
#[case("limits", json!({ "max_steps": "three" }), false)]
#[case("limits", json!({ "max_steps": 0 }), false)]
#[case("limits", json!({ "maxsteps": 3 }), false)]
#[case("answer_direct", json!("${DIRECT:-false}"), true)]
#[case("answer_direct", json!("maybe"), false)]
#[case("tasks", json!(true), true)]
#[case("tasks", json!("${TASKS:-false}"), true)]
#[case("tasks", json!({ "concurrency": 2, "max_seconds": 3600 }), true)]
#[case("tasks", json!({ "concurrency": 0 }), false)]
#[case("tasks", json!({ "max_hops": 2 }), false)]
#[case("tasks", json!(1), false)]
#[case("memory", json!({ "source": "nowhere" }), false)]
#[case("timezone", json!(null), true)]
#[case("colour", json!("red"), false)]
fn the_schema_for_editors_checks_values(#[case] key: &str, #[case] value: Value, #[case] is_valid: bool) {
    let mut document = as_json(template("duo").unwrap()[0].1);
    document["agents"][0][key] = value;
    document["x-note"] = json!([1]);
    assert_eq!(jsonschema::is_valid(&json_schema(), &document), is_valid);
}

#[test]
fn the_schema_for_editors_has_nothing_of_its_own() {
    let text = json_schema().to_string();
    assert!(!text.contains(LATE) && !text.contains(SWITCH) && !text.contains("uint32") && text.contains("writeOnly"));
}

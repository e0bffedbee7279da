//! JSON Schemas of the formats, made from the records of `file.rs` and `legacy.rs`.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::file::{LATE, MeshFile, SWITCH};

/// Identifier of the schema.
const SCHEMA_ID: &str = "urn:agentnet:mesh:1";
/// What a text must contain that stands for a number or a boolean.
const VARIABLE_PATTERN: &str = r"\$\{";

/// What a reference to nothing resolves to.
static NULL: Value = Value::Null;
static VERSION_1: LazyLock<Value> = LazyLock::new(of::<MeshFile>);

/// The schema of version 1, as the crate checks it.
pub(crate) fn version_1() -> &'static Value {
    &VERSION_1
}

/// The schema of a record.
pub(crate) fn of<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// The JSON Schema of `mesh.yaml` version 1, for editors: `agentnet mesh schema` prints it.
///
/// Numbers and booleans may also be texts with variables, `${STEPS:-8}`.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = version_1().clone();
    for_editors(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".to_owned(), SCHEMA_ID.into());
        root.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    }
    schema
}

fn for_editors(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove(LATE);
            if object.remove(SWITCH).is_some() {
                object.insert("type".to_owned(), json!(["object", "boolean"]));
            }
            allow_variables(object);
            for (key, inner) in object.iter_mut() {
                // Values, not schemas.
                if !matches!(key.as_str(), "default" | "enum" | "required" | "type") {
                    for_editors(inner);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(for_editors),
        _ => {}
    }
}

/// Lets a number or a boolean be a text with a variable.
fn allow_variables(schema: &mut Map<String, Value>) {
    let Some(kinds) = schema.get_mut("type") else {
        return;
    };
    let mut list = match kinds.take() {
        Value::Array(list) => list,
        kind => vec![kind],
    };
    let is_scalar = list
        .iter()
        .any(|kind| matches!(kind.as_str(), Some("integer" | "number" | "boolean")));
    if is_scalar {
        list.push("string".into());
    }
    *kinds = match list.len() {
        1 => list.swap_remove(0),
        _ => Value::Array(list),
    };
    if is_scalar {
        // Names of Rust's types.
        schema.remove("format");
        schema.insert("pattern".to_owned(), VARIABLE_PATTERN.into());
    }
}

/// Follows references and optional values (`anyOf` with null) to the schema that says what a value is.
pub(crate) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    // More steps than any schema of this crate has.
    for _ in 0..8 {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            schema = target.unwrap_or(&NULL);
        } else if let Some(options) = schema["anyOf"].as_array() {
            let value = options.iter().find(|option| option["type"] != "null");
            schema = value.unwrap_or(&NULL);
        } else {
            break;
        }
    }
    schema
}

/// The kind of values that a schema describes; empty for any.
pub(crate) fn kind_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or_default(),
        _ => "",
    }
}

/// The properties of an object's schema, in their order.
pub(crate) fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.as_str(), property))
}

#[cfg(test)]
mod tests;

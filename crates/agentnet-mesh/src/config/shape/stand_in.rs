//! Values in the place of those that are wrong or missing, so that the rest of a file can be checked.

use serde_json::{Value, json};

use crate::config::file::LATE;
use crate::config::key_path::KeyPath;
use crate::config::schema::{kind_of, resolve};

/// A value that fits a schema.
pub(super) fn value(root: &Value, schema: &Value, path: &KeyPath) -> Value {
    let schema = resolve(root, schema);
    if schema.get(LATE).is_some() {
        return json!({ "unset": text(path) });
    }
    match kind_of(schema) {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten();
            let members = required.filter_map(Value::as_str).map(|name| {
                let member = value(root, &schema["properties"][name], &path.key(name));
                (name.to_owned(), member)
            });
            Value::Object(members.collect())
        }
        "array" => json!([]),
        "string" => match schema["enum"].get(0) {
            Some(first) => first.clone(),
            None => text(path).into(),
        },
        "integer" | "number" => match &schema["minimum"] {
            Value::Null => json!(0),
            least => least.clone(),
        },
        "boolean" => json!(false),
        _ => Value::Null,
    }
}

/// A text that no other value has: two stand-ins must not look like a name that is given twice.
fn text(path: &KeyPath) -> String {
    path.to_string()
        .replace(|character: char| !character.is_ascii_alphanumeric(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::MeshFile;
    use crate::config::schema::version_1;

    #[test]
    fn a_stand_in_can_be_read() {
        let root = version_1();
        let mut file = value(root, root, &KeyPath::default());
        let agent = KeyPath::of(["agents"]).index(3);
        file["agents"] = json!([value(root, &root["properties"]["agents"]["items"], &agent)]);
        for map in ["providers", "prices", "mcp_servers", "tools"] {
            let entry = &root["properties"][map]["additionalProperties"];
            file[map] = json!({ "a": value(root, entry, &KeyPath::of([map, "a"])) });
        }
        assert_eq!(file["agents"][0]["key"], "agents_3__key");
        let file: Result<MeshFile, _> = serde_json::from_value(file);
        file.map(drop).unwrap();
    }
}

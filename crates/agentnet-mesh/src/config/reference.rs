//! The reference of `mesh.yaml` as Markdown, made from its schema.

use serde_json::Value;

use super::file::SWITCH;
use super::schema::{properties, resolve, version_1};

/// The reference of `mesh.yaml` version 1 in Markdown, for docs/MESH.md: a table for each kind of mapping.
#[must_use]
pub fn reference_markdown() -> String {
    let mut reference = Reference {
        root: version_1(),
        text: String::new(),
        seen: Vec::new(),
    };
    reference.section("", version_1());
    reference.text
}

struct Reference {
    root: &'static Value,
    text: String,
    /// Mappings that have a table, by their definition, and where.
    seen: Vec<(String, String)>,
}

/// A mapping inside another.
struct Inner {
    path: String,
    schema: &'static Value,
    /// Name of its definition in the schema.
    definition: Option<&'static str>,
}

impl Reference {
    /// The table of a mapping, then those of the mappings in it.
    fn section(&mut self, path: &str, schema: &'static Value) {
        let heading = match path {
            "" => "### The file".to_owned(),
            path => format!("### `{path}`"),
        };
        self.line(&heading);
        self.line("");
        self.line(&description(schema));
        self.line("");
        self.line("| Key | Value | Default | Meaning |");
        self.line("|---|---|---|---|");
        let mut inner = Vec::new();
        for (name, property) in properties(schema) {
            let path = match path {
                "" => name.to_owned(),
                path => format!("{path}.{name}"),
            };
            let found = self.inner(&path, property);
            let mut value = self.value(property);
            if let Some(found) = found {
                let seen = found.definition.and_then(|definition| self.place_of(definition));
                match seen {
                    Some(place) => value.push_str(&format!(", as [`{place}`](#{})", anchor(&place))),
                    None => {
                        let definition = found.definition.unwrap_or_default().to_owned();
                        self.seen.push((definition, found.path.clone()));
                        inner.push(found);
                    }
                }
            }
            let (meaning, told) = split_default(&description(property));
            let default = match default(schema, name, property) {
                shown if shown.is_empty() => told,
                shown => shown,
            };
            self.line(&format!(
                "| `{name}` | {} | {} | {} |",
                cell(&value),
                cell(&default),
                cell(&meaning)
            ));
        }
        self.line("");
        for found in inner {
            self.section(&found.path, found.schema);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn place_of(&self, definition: &str) -> Option<String> {
        let seen = self.seen.iter().find(|(other, _)| other == definition);
        seen.map(|(_, place)| place.clone())
    }

    /// The mapping with keys of its own that a property is, lists, or holds by names.
    fn inner(&self, path: &str, property: &'static Value) -> Option<Inner> {
        let schema = resolve(self.root, property);
        let (path, holder) = match schema["type"].as_str() {
            _ if schema["properties"].is_object() => (path.to_owned(), property),
            Some("array") => (format!("{path}[]"), &schema["items"]),
            _ if schema["additionalProperties"].is_object() => {
                (format!("{path}.NAME"), &schema["additionalProperties"])
            }
            _ => return None,
        };
        let schema = resolve(self.root, holder);
        schema["properties"].is_object().then(|| Inner {
            path,
            schema,
            definition: definition(holder),
        })
    }

    /// What kind of value a property has, and its bounds.
    fn value(&self, property: &'static Value) -> String {
        let schema = resolve(self.root, property);
        if let Some(options) = schema["enum"].as_array() {
            let names = options.iter().filter_map(Value::as_str);
            return names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds[0].as_str(),
            kind => kind.as_str(),
        };
        match kind {
            Some("integer") => format!("whole number{}", bounds(schema)),
            Some("number") => format!("number{}", bounds(schema)),
            Some("boolean") => "true or false".to_owned(),
            Some("string") if schema["writeOnly"] == true => "text, secret".to_owned(),
            Some("string") => "text".to_owned(),
            Some("array") => format!("list of {}", plural(&self.value(&schema["items"]))),
            Some("object") if schema["additionalProperties"].is_object() => {
                let values = plural(&self.value(&schema["additionalProperties"]));
                let is_secret = property["writeOnly"] == true && !values.contains("secret");
                format!("names with {values}{}", if is_secret { ", secret" } else { "" })
            }
            Some("object") if schema[SWITCH] == true => "true, false or mapping".to_owned(),
            Some("object") => "mapping".to_owned(),
            _ => "any".to_owned(),
        }
    }
}

/// The name of the definition that a property refers to.
fn definition(property: &'static Value) -> Option<&'static str> {
    let reference = property["$ref"].as_str().or_else(|| {
        let options = property["anyOf"].as_array()?;
        options.iter().find_map(|option| option["$ref"].as_str())
    });
    reference.and_then(|reference| reference.rsplit('/').next())
}

fn bounds(schema: &Value) -> String {
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(least), Value::Number(limit)) if least == limit => format!(", {least}"),
        (Value::Number(least), Value::Number(limit)) => format!(", {least} to {limit}"),
        (Value::Number(least), _) => format!(", at least {least}"),
        _ => String::new(),
    }
}

fn plural(value: &str) -> String {
    match value {
        "text" => "texts".to_owned(),
        "text, secret" => "secret texts".to_owned(),
        "mapping" => "mappings".to_owned(),
        other => other.to_owned(),
    }
}

/// The default of a property that is worth a mention.
fn default(schema: &Value, name: &str, property: &Value) -> String {
    let is_required = schema["required"]
        .as_array()
        .is_some_and(|names| names.iter().any(|other| other == name));
    if is_required {
        return "required".to_owned();
    }
    match &property["default"] {
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(object) if object.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) => {
            // 45.0 is written 45.
            let shown = number.to_string();
            format!("`{}`", shown.strip_suffix(".0").unwrap_or(&shown))
        }
        value => format!("`{value}`"),
    }
}

/// A description, and what it says of the default.
fn split_default(description: &str) -> (String, String) {
    match description.split_once(" Default: ") {
        Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches('.').to_owned()),
        None => (description.to_owned(), String::new()),
    }
}

/// A description on one line.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mapping_has_one_table() {
        let text = reference_markdown();
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("### ")).collect();
        let mut unique = headings.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(headings.len(), unique.len());
        for heading in [
            "### The file",
            "### `defaults`",
            "### `providers.NAME`",
            "### `tools.NAME.http`",
            "### `agents[]`",
            "### `agents[].model.fallback[]`",
            "### `agents[].memory.compaction`",
            "### `agents[].tasks`",
            "### `agents[].orchestrate.kickoff_tools[]`",
        ] {
            assert!(headings.contains(&heading), "{heading} not in {headings:?}");
        }
    }

    #[test]
    fn rows_tell_kind_default_and_meaning() {
        let text = reference_markdown();
        for row in [
            "| `version` | whole number, 1 | required |",
            "| `max_steps` | whole number, 1 to 100 | `8` | Calls of the model per message.",
            "| `api` | `openai-chat`, `openai-responses`, `anthropic-messages` | required | API that the provider speaks. |",
            "| `api_key` | text, secret |  | API key.",
            "| `agent_id` | text | `key` | Agent id: the role of the process. |",
            "| `headers` | names with texts, secret |",
            "| `timeout_seconds` | number, 1 to 3600 | `10` |",
            "| `tools` | list of texts |",
            "| `source` | `thread`, `none` | `thread` |",
            "| `tasks` | true, false or mapping | none |",
            "| `max_seconds` | number, 1 to 86400 | `limits.max_seconds` | Seconds per task. |",
            "| `model` | mapping, as [`agents[].model.fallback[]`](#agentsmodelfallback) |",
        ] {
            assert!(text.contains(row), "{row} not in\n{text}");
        }
        assert!(
            text.lines()
                .filter(|line| line.starts_with('|'))
                .all(|row| row.matches(" | ").count() >= 3 || row.starts_with("|-"))
        );
    }
}

//! Arguments of a tool: from the model's text to a checked JSON object.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

use super::clip::clip;

/// Bytes of the arguments of one call.
pub(super) const MAX_ARGUMENT_BYTES: usize = 256 * 1024;
/// Problems of the arguments in one error.
const MAX_PROBLEMS: usize = 5;
/// Characters of the description of one problem.
const MAX_PROBLEM_CHARS: usize = 300;
/// A regular expression of a schema gives up after so many steps back.
const BACKTRACK_LIMIT: usize = 100_000;
/// Bytes of a compiled regular expression of a schema.
const REGEX_SIZE_LIMIT: usize = 1024 * 1024;

/// The compiled JSON Schema of a tool's arguments. References to other documents are refused, not fetched.
pub(super) struct ArgumentSchema {
    validator: Validator,
}

impl ArgumentSchema {
    /// Compiles a schema; the error says what is wrong with it.
    pub(super) fn compile(parameters: &Value) -> Result<Self, String> {
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(BACKTRACK_LIMIT)
            .size_limit(REGEX_SIZE_LIMIT);
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(patterns)
            .build(parameters)
            .map_err(|error| clip(&error.to_string(), MAX_PROBLEM_CHARS))?;
        Ok(Self { validator })
    }

    /// Checks arguments; the error lists the first problems.
    pub(super) fn check(&self, arguments: &Value) -> Result<(), String> {
        let problems: Vec<String> = self
            .validator
            .iter_errors(arguments)
            .take(MAX_PROBLEMS)
            .map(|problem| {
                let path = problem.instance_path().to_string();
                let place = if path.is_empty() {
                    String::new()
                } else {
                    format!("{path}: ")
                };
                clip(&format!("{place}{problem}"), MAX_PROBLEM_CHARS)
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }
}

/// A schema as all providers take it: of type `object`, with `properties`.
pub(super) fn object_schema(parameters: &Value) -> Result<Value, String> {
    let mut schema = match parameters {
        Value::Null => Map::new(),
        Value::Object(schema) => schema.clone(),
        _ => return Err("the schema of the arguments is not an object".to_owned()),
    };
    match schema.get("type") {
        None => {
            schema.insert("type".to_owned(), json!("object"));
        }
        Some(kind) if kind == "object" => {}
        Some(kind) => {
            return Err(format!(
                "arguments are an object, but the schema has type {}",
                clip(&kind.to_string(), 40)
            ));
        }
    }
    schema.entry("properties").or_insert_with(|| json!({}));
    Ok(Value::Object(schema))
}

/// Reads the arguments that a model wrote: an empty text and `null` are an object without members.
pub(super) fn parse_arguments(text: &str) -> Result<Value, String> {
    if text.len() > MAX_ARGUMENT_BYTES {
        return Err(format!(
            "the arguments have {} bytes, at most {MAX_ARGUMENT_BYTES}",
            text.len()
        ));
    }
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(json!({})),
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        Ok(_) => Err("the arguments are not a JSON object".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", Ok(json!({})))]
    #[case(" \n", Ok(json!({})))]
    #[case("null", Ok(json!({})))]
    #[case(r#"{"a":1}"#, Ok(json!({"a": 1})))]
    #[case("[1]", Err("not a JSON object"))]
    #[case("\"a\"", Err("not a JSON object"))]
    #[case(r#"{"a":"#, Err("not JSON"))]
    #[case(r#"{"a":1}{"#, Err("not JSON"))]
    fn arguments_are_read(#[case] text: &str, #[case] expected: Result<Value, &str>) {
        match (parse_arguments(text), expected) {
            (Ok(arguments), Ok(expected)) => assert_eq!(arguments, expected),
            (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
            (got, expected) => panic!("{got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn too_long_and_too_deep_arguments_are_refused() {
        assert!(parse_arguments(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_ARGUMENT_BYTES))).is_err());
        assert!(parse_arguments(&format!("{{\"a\":{}", "[".repeat(100_000))).is_err());
    }

    #[rstest]
    #[case(json!(null), Ok(json!({"type": "object", "properties": {}})))]
    #[case(json!({"required": ["a"]}), Ok(json!({"required": ["a"], "type": "object", "properties": {}})))]
    #[case(json!({"type": "string"}), Err(()))]
    #[case(json!(true), Err(()))]
    fn a_schema_is_of_an_object(#[case] schema: Value, #[case] expected: Result<Value, ()>) {
        assert_eq!(object_schema(&schema).map_err(|_| ()), expected);
    }

    #[test]
    fn problems_are_listed_with_their_place() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["city"],
            "properties": {"city": {"type": "string", "maxLength": 5}, "days": {"type": "integer", "minimum": 1}},
        });
        let schema = ArgumentSchema::compile(&schema).unwrap();
        assert_eq!(schema.check(&json!({"city": "Oslo", "days": 2})), Ok(()));
        let problem = schema.check(&json!({"days": 0, "x": 1})).unwrap_err();
        for part in ["/days", "\"city\"", "'x'"] {
            assert!(problem.contains(part), "{part} in {problem}");
        }
        let problem = schema.check(&json!({"city": "y".repeat(100_000)})).unwrap_err();
        assert!(
            problem.chars().count() <= MAX_PROBLEMS * (MAX_PROBLEM_CHARS + 3),
            "{}",
            problem.len()
        );
    }

    #[rstest]
    #[case(json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/schema.json"}}}))]
    #[case(json!({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}))]
    #[case(json!({"type": "object", "properties": {"a": {"type": "strange"}}}))]
    #[case(json!({"type": "object", "properties": {"a": {"pattern": "("}}}))]
    fn a_bad_schema_is_refused(#[case] schema: Value) {
        assert!(ArgumentSchema::compile(&schema).is_err());
    }
}

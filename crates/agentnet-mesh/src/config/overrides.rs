//! Overrides of the command line: `--set agents.planner.limits.max_steps=3`.

use super::key_path::{KeyPath, Segment};
use super::node::{Entry, Node, NodeValue};
use super::problem::{Position, Problems};
use super::quote::quote;
use super::similar;

/// Puts the overrides into a document, in their order.
pub(crate) fn apply(root: &mut Node, overrides: &[(String, String)], problems: &mut Problems) {
    for (path, value) in overrides {
        let parsed = match KeyPath::parse(path) {
            Ok(parsed) => parsed,
            Err(message) => {
                problems.add(Position::Override, &KeyPath::of([path.as_str()]), message);
                continue;
            }
        };
        if let Err(message) = set(root, parsed.segments(), Node::of_override(value)) {
            problems.add(Position::Override, &parsed, message);
        }
    }
}

fn set(node: &mut Node, path: &[Segment], value: Node) -> Result<(), String> {
    let Some((segment, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    if node.value == NodeValue::Null {
        node.value = NodeValue::Map(Vec::new());
    }
    let kind = node.kind();
    match (&mut node.value, segment) {
        (NodeValue::Map(entries), Segment::Key(key)) => {
            let place = entries.iter().position(|entry| entry.key == *key);
            let place = place.unwrap_or_else(|| {
                entries.push(absent(key));
                entries.len() - 1
            });
            set(&mut entries[place].node, rest, value)
        }
        (NodeValue::List(items), Segment::Index(index)) => {
            let length = items.len();
            let item = items
                .get_mut(*index)
                .ok_or_else(|| format!("the list has no element {index}: it has {length}"))?;
            set(item, rest, value)
        }
        (NodeValue::List(items), Segment::Key(key)) => {
            let place = items.iter().position(|item| key_of(item) == Some(key.as_str()));
            let Some(place) = place else {
                let hint = similar::hint(key, items.iter().filter_map(key_of));
                return Err(format!("no element of the list has the key {}{hint}", quote(key)));
            };
            set(&mut items[place], rest, value)
        }
        _ => Err(format!("the path leads into {kind}")),
    }
}

/// An entry that the file does not have.
fn absent(key: &str) -> Entry {
    Entry {
        key: key.to_owned(),
        key_at: Position::Override,
        node: Node {
            at: Position::Override,
            value: NodeValue::Null,
        },
    }
}

/// The `key` of an element of `agents`.
fn key_of(item: &Node) -> Option<&str> {
    item.get("key")?.text()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use rstest::rstest;

    const DOCUMENT: &str = "version: 1\nagents:\n  - key: planner\n    model: { name: a }\n";

    fn applied(path: &str, value: &str) -> (Node, Problems) {
        let mut root = Node::parse(DOCUMENT).unwrap();
        let mut problems = Problems::new(Path::new("mesh.yaml"));
        apply(&mut root, &[(path.to_owned(), value.to_owned())], &mut problems);
        (root, problems)
    }

    #[rstest]
    #[case("agents[0].model.name", "b")]
    #[case("agents.planner.model.name", "b")]
    #[case("agents[planner].limits.max_steps", "3")]
    #[case("providers.local.base_url", "http://127.0.0.1:1/v1")]
    #[case("prices.\"a.b\".input", "1")]
    fn values_are_set(#[case] path: &str, #[case] value: &str) {
        let (root, problems) = applied(path, value);
        assert!(problems.is_empty());
        let path = path.replace("[planner]", "[0]").replace(".planner", "[0]");
        let path = KeyPath::parse(&path).unwrap();
        assert_eq!(root.locate(&path), Position::Override);
        let shown = root.quoted(&path);
        assert_eq!(shown.trim_matches('"'), value);
    }

    #[rstest]
    #[case(
        "agents.plannr.name",
        "no element of the list has the key \"plannr\" (known: planner); did you mean \"planner\"?"
    )]
    #[case("agents[4].name", "the list has no element 4: it has 1")]
    #[case("version.x", "the path leads into a number")]
    #[case("a..b", "the path has an empty key")]
    fn paths_that_lead_nowhere_are_refused(#[case] path: &str, #[case] message: &str) {
        let error = applied(path, "x").1.into_error();
        assert_eq!(error.problems()[0].message, message);
        assert_eq!(error.problems()[0].position, Position::Override);
    }
}

use rstest::rstest;

use super::*;

const DOCUMENT: &str = "\
version: 1
agents:
  - key: planner
    model: { provider: clade, temperature: 0.2 }
    tools: [a, \"b\"]
    answer: true
    nothing:
";

fn path(text: &str) -> KeyPath {
    KeyPath::parse(text).unwrap()
}

#[rstest]
#[case("version", 1, 10)]
#[case("agents[0].key", 3, 10)]
#[case("agents[0].model.provider", 4, 24)]
#[case("agents[0].tools[1]", 5, 16)]
#[case("agents[0].answer", 6, 13)]
// An absent value is shown at its nearest parent.
#[case("agents[0].model.name", 4, 12)]
fn values_know_their_place(#[case] at: &str, #[case] line: u64, #[case] column: u64) {
    let root = Node::parse(DOCUMENT).unwrap();
    assert_eq!(root.locate(&path(at)), Position::File { line, column });
}

#[test]
fn keys_know_their_place() {
    let NodeValue::Map(entries) = Node::parse(DOCUMENT).unwrap().value else {
        panic!("no mapping");
    };
    assert_eq!(entries[1].key, "agents");
    assert_eq!(entries[1].key_at, Position::File { line: 2, column: 1 });
}

#[test]
fn values_keep_their_kind() {
    let root = Node::parse("a: 5\nb: 0.5\nc: no\nd: \"5\"\ne: ~\nf: true\ng: -3\nh: ${X:-y}\n").unwrap();
    let value = |key: &str| &root.get(key).unwrap().value;
    assert_eq!(value("a"), &NodeValue::Number(5.into()));
    assert_eq!(value("b"), &NodeValue::Number(Number::from_f64(0.5).unwrap()));
    assert_eq!(value("c"), &NodeValue::Text("no".to_owned()));
    assert_eq!(value("d"), &NodeValue::Text("5".to_owned()));
    assert_eq!(value("e"), &NodeValue::Null);
    assert_eq!(value("f"), &NodeValue::Bool(true));
    assert_eq!(value("g"), &NodeValue::Number((-3).into()));
    assert_eq!(value("h"), &NodeValue::Text("${X:-y}".to_owned()));
}

#[rstest]
#[case("a: [1, 2", None)]
#[case("a: b: c", Some(1))]
#[case("a: 1\n\tb: 2\n", None)]
#[case("a: .inf", Some(1))]
#[case("a: *unknown", Some(1))]
#[case("a: 1\n---\nb: 2\n", None)]
fn malformed_documents_are_refused_with_their_line(#[case] text: &str, #[case] line: Option<u64>) {
    let (at, message) = Node::parse(text).unwrap_err();
    assert!(message.starts_with("is not valid YAML: "), "{message}");
    match (at, line) {
        (Position::File { line: found, .. }, Some(line)) => assert_eq!(found, line, "{message}"),
        (_, None) => {}
        (at, _) => panic!("{at:?} {message}"),
    }
}

#[test]
fn repeated_keys_are_kept_for_the_check() {
    let NodeValue::Map(entries) = Node::parse("a: 1\na: 2\n").unwrap().value else {
        panic!("no mapping");
    };
    assert_eq!(entries.len(), 2);
}

#[test]
fn anchors_and_merges_are_resolved() {
    let root = Node::parse("x-base: &base { a: 1, b: 2 }\nc:\n  <<: *base\n  b: 3\nd: *base\n").unwrap();
    let number = |key: &str, inner: &str| root.get(key).unwrap().get(inner).unwrap().value.clone();
    assert_eq!(number("c", "a"), NodeValue::Number(1.into()));
    assert_eq!(number("c", "b"), NodeValue::Number(3.into()));
    assert_eq!(root.get("d").unwrap().at, Position::File { line: 5, column: 4 });
}

#[test]
fn aliases_cannot_make_a_document_huge() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(Node::parse(&text).is_err());
}

#[test]
fn depth_is_bounded() {
    assert!(Node::parse(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
}

#[rstest]
#[case("5", NodeValue::Number(5.into()))]
#[case("text", NodeValue::Text("text".to_owned()))]
#[case("http://127.0.0.1:80/v1", NodeValue::Text("http://127.0.0.1:80/v1".to_owned()))]
#[case("*", NodeValue::Text("*".to_owned()))]
#[case("{", NodeValue::Text("{".to_owned()))]
fn overrides_are_yaml_or_text(#[case] text: &str, #[case] value: NodeValue) {
    let node = Node::of_override(text);
    assert_eq!((node.at, node.value), (Position::Override, value));
}

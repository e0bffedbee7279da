//! Every rule of the comparison, as tables.

use serde_json::json;

use super::*;

fn strict() -> Rules {
    Rules {
        strict: true,
        ..Rules::default()
    }
}

fn lenient() -> Rules {
    let settings = json!({"ttl_seconds": 40.0, "max": 100, "server_id": "registry"});
    Rules {
        strict: false,
        settings: settings.as_object().unwrap().clone(),
        additions: vec!["since".to_owned()],
        growing: &["$.handlers."],
    }
}

fn found(expected: &Value, actual: &Value, rules: &Rules) -> Vec<String> {
    differences(expected, actual, &mut Bindings::default(), rules)
}

#[test]
fn every_kind_of_difference_is_found() {
    let recorded = json!({"a": 1, "b": {"c": [1, "<timestamp>"]}, "n": null});
    let time = "2026-02-21T08:00:00Z";
    let same = json!({"a": 1, "b": {"c": [1, time]}, "n": null});
    assert_eq!(found(&recorded, &same, &strict()), Vec::<String>::new());
    for (other, path) in [
        (json!({"a": 1.0, "b": {"c": [1, time]}, "n": null}), "$.a:"),
        (json!({"a": "1", "b": {"c": [1, time]}, "n": null}), "$.a:"),
        (json!({"a": 1, "b": {"c": [2, time]}, "n": null}), "$.b.c[0]:"),
        (json!({"a": 1, "b": {"c": [1, "soon"]}, "n": null}), "$.b.c[1]:"),
        (json!({"a": 1, "b": {"c": [1]}, "n": null}), "$.b.c:"),
        (json!({"a": 1, "b": {"c": [1, time]}}), "$.n:"),
        (json!([]), "$:"),
    ] {
        for rules in [strict(), lenient()] {
            let found = found(&recorded, &other, &rules);
            assert!(found.len() == 1 && found[0].starts_with(path), "{other}: {found:?}");
        }
    }
}

#[test]
fn additions_and_order_matter_in_strict_mode_and_in_contents_only() {
    let expected = json!({"a": 1, "payload": {"x": 1}});
    for (actual, strict_paths, lenient_paths) in [
        (json!({"payload": {"x": 1}, "a": 1}), vec!["$:"], vec![]),
        (json!({"a": 1, "payload": {"x": 1}, "new": 0}), vec!["$.new:"], vec![]),
        (
            json!({"a": 1, "payload": {"x": 1, "y": 2}}),
            vec!["$.payload.y:"],
            vec!["$.payload.y:"],
        ),
    ] {
        for (rules, paths) in [(strict(), strict_paths), (lenient(), lenient_paths)] {
            let found = found(&expected, &actual, &rules);
            assert_eq!(found.len(), paths.len(), "{found:?}");
            assert!(
                found.iter().zip(&paths).all(|(line, path)| line.starts_with(path)),
                "{found:?}"
            );
        }
    }
}

#[test]
fn settings_may_differ_in_value_but_not_in_type() {
    let expected = json!({"ttl_seconds": 40.0, "max": 100, "server_id": "registry"});
    let other = json!({"ttl_seconds": 7.5, "max": 1, "server_id": "eu-1"});
    assert_eq!(found(&expected, &other, &lenient()), Vec::<String>::new());
    assert_eq!(found(&expected, &other, &strict()).len(), 3);
    let untyped = json!({"ttl_seconds": 40, "max": 1.5, "server_id": 1});
    assert_eq!(found(&expected, &untyped, &lenient()).len(), 3);
    // Another value than the recorded default was asked for: it is no setting.
    assert_eq!(found(&json!({"max": 5}), &json!({"max": 6}), &lenient()).len(), 1);
    let payload = json!({"payload": {"max": 100}});
    assert_eq!(found(&payload, &json!({"payload": {"max": 7}}), &lenient()).len(), 1);
}

#[test]
fn counters_may_be_larger_where_others_are_served_too() {
    let expected = json!({"handlers": {"list": {"calls": 4}}, "other": 4});
    let more = json!({"handlers": {"list": {"calls": 5}}, "other": 4});
    assert_eq!(found(&expected, &more, &lenient()), Vec::<String>::new());
    assert_eq!(found(&expected, &more, &strict()).len(), 1);
    let fewer = json!({"handlers": {"list": {"calls": 3}}, "other": 5});
    assert_eq!(found(&expected, &fewer, &lenient()).len(), 2);
    let unreadable = json!({"handlers": {"list": {"calls": 4.5}}, "other": 4});
    assert_eq!(found(&expected, &unreadable, &lenient()).len(), 1);
}

#[test]
fn each_place_may_be_as_expected_or_as_the_originals() {
    let expected = json!({"name": "new", "at": "<timestamp>", "items": [{"id": 1, "extra": 0}, {"id": 2, "extra": 0}]});
    let original = json!({"name": "old", "at": "", "items": [{"id": 1}, {"id": 2}]});
    let time = "2026-02-21T08:00:00Z";
    let like = |actual: Value| match_either(&expected, &original, &actual, &mut Bindings::default(), &strict());
    let places = |places: &[&str]| Match::Original(places.iter().map(|&place| place.to_owned()).collect());
    let items = &expected["items"];
    assert_eq!(
        like(json!({"name": "new", "at": time, "items": items})),
        Match::Expected
    );
    assert_eq!(like(original.clone()), places(&["$"]));
    assert_eq!(
        like(json!({"name": "old", "at": time, "items": items})),
        places(&["$.name"])
    );
    let half = json!({"name": "new", "at": "", "items": [{"id": 1}, {"id": 2, "extra": 0}]});
    assert_eq!(like(half), places(&["$.at", "$.items[0]"]));
    let wrong = json!({"name": "odd", "at": "", "items": [{"id": 1}, {"id": 3}]});
    let Match::Neither(lines) = like(wrong) else {
        panic!("neither");
    };
    assert!(lines.iter().any(|line| line.starts_with("$.name:")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("$.items[1].id:")), "{lines:?}");
    assert!(matches!(like(json!({"error": "not_found"})), Match::Neither(_)));
}

#[test]
fn lists_of_other_lengths_are_compared_by_id_and_additions_may_be_missing() {
    let item = |id: &str, at: &str| json!({"message_id": id, "at": at, "since": 0});
    let expected = json!({"messages": [item("c", "3"), item("b", "2"), item("a", "1")]});
    let original = json!({"messages": [{"message_id": "a", "at": "9"}, {"message_id": "b", "at": "2"}]});
    let like = |actual: Value| match_either(&expected, &original, &actual, &mut Bindings::default(), &lenient());
    let places = |places: &[&str]| Match::Original(places.iter().map(|&place| place.to_owned()).collect());
    let (b, c) = (item("b", "2"), item("c", "3"));
    let older = json!({"message_id": "a", "at": "9"});
    assert_eq!(like(json!({"messages": [c, b, older]})), places(&["$.messages[2]"]));
    let without = json!({"message_id": "c", "at": "3"});
    assert_eq!(
        like(json!({"messages": [without, b, older]})),
        places(&["$.messages[0].since", "$.messages[2]"])
    );
    let wrong = json!({"message_id": "c", "at": "4"});
    assert!(matches!(
        like(json!({"messages": [wrong, b, older]})),
        Match::Neither(_)
    ));
    assert!(matches!(like(json!({"messages": [c, b]})), Match::Neither(_)));
    assert_eq!(like(original.clone()), places(&["$"]));
    // Another order is reported even if no value differs.
    let order = match_either(
        &json!({"a": 1, "b": 2}),
        &json!({"a": 1, "b": 2}),
        &json!({"b": 2, "a": 1}),
        &mut Bindings::default(),
        &strict(),
    );
    assert!(matches!(order, Match::Neither(lines) if lines.len() == 1));
}

#[test]
fn what_did_not_agree_binds_nothing() {
    let mut bindings = Bindings::default();
    let id = |last: char| format!("acct_01khzq5j7k8m9n0p1q2r3s4t5{last}");
    let expected = json!({"id": "<account:1>", "n": 1});
    let original = json!({"id": "<account:1>", "n": 2});
    let actual = json!({"id": id('v'), "n": 2});
    let outcome = match_either(&expected, &original, &actual, &mut bindings, &strict());
    assert_eq!(outcome, Match::Original(vec!["$".to_owned()]));
    assert!(bindings.knows(&id('v')));
}

#[test]
fn shapes() {
    assert!(same_shape(
        &json!({"a": {"b": 1}, "c": []}),
        &json!({"a": {"b": 2.5}, "c": [1]})
    ));
    assert!(!same_shape(&json!({"a": {"b": 1}}), &json!({"a": {"b": "1"}})));
    assert!(!same_shape(&json!({"a": {"b": 1}}), &json!({"a": {"b": 1, "c": 1}})));
}

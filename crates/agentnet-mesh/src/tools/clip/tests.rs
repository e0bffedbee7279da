use rstest::rstest;
use serde_json::json;

use super::*;

#[rstest]
#[case("abc", 3, "abc")]
#[case("abcd", 3, "abc…")]
#[case("äöü", 2, "äö…")]
#[case("", 0, "")]
fn a_text_is_clipped_by_characters(#[case] text: &str, #[case] max: usize, #[case] expected: &str) {
    assert_eq!(clip(text, max), expected);
}

#[rstest]
#[case("abc", 2)]
#[case("a\"b\\c\n\u{1}ä€😀", 7)]
#[case("\u{0}\u{0}\u{0}", 13)]
fn a_prefix_fits_in_its_json_form(#[case] text: &str, #[case] max: usize) {
    let prefix = json_prefix(text, max);
    let json = serde_json::to_string(prefix).unwrap();
    assert!(json.len() - 2 <= max, "{json}");
    let next: String = text.chars().take(prefix.chars().count() + 1).collect();
    assert!(
        serde_json::to_string(&next).unwrap().len() - 2 > max,
        "{next:?} would have fitted"
    );
}

#[test]
fn secrets_are_removed() {
    let mut redactor = Redactor::default();
    redactor.add("Bearer sk-123456789");
    redactor.add("no");
    assert_eq!(redactor.clean("no: Bearer sk-123456789, sk-123456789"), "no: ***, ***");
}

#[test]
fn each_line_of_a_secret_is_removed() {
    let mut redactor = Redactor::default();
    redactor.add("-----BEGIN KEY-----\nMC4CAQAwBQ\n");
    assert_eq!(redactor.clean("MC4CAQAwBQ and\n-----BEGIN KEY-----"), "*** and\n***");
}

#[rstest]
#[case("the key is sk-1234", "the key is ***")]
#[case("the key is sk-123456789", "the key is ***")]
#[case("the key is sk-12", "the key is sk-12")]
fn a_secret_that_is_cut_is_removed(#[case] text: &str, #[case] expected: &str) {
    let mut redactor = Redactor::default();
    redactor.add("sk-123456789");
    assert_eq!(redactor.clean_beginning(text), expected);
}

#[test]
fn a_secret_that_is_cut_inside_a_character_is_removed() {
    let mut redactor = Redactor::default();
    redactor.add("geheim-wört");
    let cut = String::from_utf8_lossy(&"geheim-wört".as_bytes()[..9]);
    assert_eq!(cut, "geheim-w\u{fffd}");
    assert_eq!(redactor.clean_beginning(&cut), "***");
}

#[test]
fn everyday_variables_are_no_secrets() {
    let mut redactor = Redactor::default();
    for (name, value) in [
        ("HOME", "/home/me"),
        ("LC_ALL", "en_US.UTF-8"),
        ("API_KEY", "sk-123456789"),
    ] {
        redactor.add_variable(name, value);
    }
    assert_eq!(
        redactor.clean("/home/me en_US.UTF-8 sk-123456789"),
        "/home/me en_US.UTF-8 ***"
    );
}

/// One secret begins, ends or is inside another, overlaps another, or itself.
#[rstest]
#[case(&["sk-123", "sk-123456789"], "a sk-123456789 b", "a *** b")]
#[case(&["456789", "sk-123456789"], "a sk-123456789 b", "a *** b")]
#[case(&["-12345", "sk-123456789"], "a sk-123456789 b sk-12345 c", "a *** b sk*** c")]
#[case(&["secret-one", "one-secret"], "a secret-one-secret b", "a *** b")]
#[case(&["abcabcabc"], "xabcabcabcabcabcabx", "x***abx")]
#[case(&["älälälä"], "älälälälä", "***")]
#[case(&["secret-1", "secret-2"], "secret-1secret-2", "******")]
fn secrets_that_overlap_are_removed(#[case] secrets: &[&str], #[case] text: &str, #[case] expected: &str) {
    let mut redactor = Redactor::default();
    secrets.iter().for_each(|secret| redactor.add(secret));
    assert_eq!(redactor.clean(text), expected);
    assert_eq!(redactor.clean_beginning(text), expected);
}

#[rstest]
#[case(&["sk-123", "sk-123456789"], "the key is sk-12345678", "the key is ***")]
#[case(&["sk-123", "sk-123-456-789"], "the key is sk-123-456", "the key is ***")]
#[case(&["first line\nsecond line"], "first line\nsecond li", "***")]
#[case(&["secret-one", "one-secret-two"], "a secret-one-sec", "a ***")]
#[case(&["abcdef-abcdef-x"], "abcdef-abcdef-abcdef-", "abcdef-***")]
fn a_cut_secret_that_begins_with_another_is_removed(
    #[case] secrets: &[&str],
    #[case] text: &str,
    #[case] expected: &str,
) {
    let mut redactor = Redactor::default();
    secrets.iter().for_each(|secret| redactor.add(secret));
    assert_eq!(redactor.clean_beginning(text), expected);
}

/// Whole, and cut: what is left of it does not show.
#[rstest]
#[case::plain("pa\"ss/wörd😀", "pa\"ss/wörd😀")]
#[case::json("pa\"ss/wörd😀", r#"pa\"ss/wörd😀"#)]
#[case::json_with_slashes("pa\"ss/wörd😀", r#"pa\"ss\/wörd😀"#)]
#[case::ascii("pa\"ss/wörd😀", r#"pa\"ss/w\u00f6rd\ud83d\ude00"#)]
#[case::upper_case("pa\"ss/wörd😀", r#"pa\"ss/w\u00F6rd\uD83D\uDE00"#)]
#[case::ascii_with_slashes("pa\"ss/wörd😀", r#"pa\"ss\/w\u00f6rd\ud83d\ude00"#)]
#[case::plain_with_slashes("plain/secret", r"plain\/secret")]
#[case::lines("line of one\nline of two", r"line of one\nline of two")]
fn a_secret_that_json_writes_otherwise_is_removed(#[case] secret: &str, #[case] written: &str) {
    let mut redactor = Redactor::default();
    redactor.add(secret);
    assert_eq!(redactor.clean(&format!("<{written}>")), "<***>");
    let cut = written.char_indices().last().unwrap().0;
    assert_eq!(redactor.clean_beginning(&format!("<{}", &written[..cut])), "<***");
}

#[test]
fn a_secret_without_escapes_has_one_form() {
    let mut redactor = Redactor::default();
    redactor.add("sk-123456789");
    assert_eq!(redactor.secrets, ["sk-123456789"]);
}

#[rstest]
#[case(json!({"a": {"sk-123456789": ["sk-123456789"]}}), json!({"a": {"***": ["***"]}}))]
#[case(json!({"of sk-123456789": 1, "plain": 2}), json!({"of ***": 1, "plain": 2}))]
#[case(
    json!({"***": 1, "sk-123456789": 2, "*** 2": 3, "key-abcdef": 4}),
    json!({"***": 1, "*** 2": 2, "*** 2 2": 3, "*** 3": 4})
)]
fn secrets_in_names_of_members_are_removed(#[case] value: Value, #[case] expected: Value) {
    let mut redactor = Redactor::default();
    redactor.add("sk-123456789");
    redactor.add("key-abcdef");
    assert_eq!(redactor.clean_value(value), expected);
}

use rand::SeedableRng;
use rand::rngs::StdRng;
use rstest::rstest;
use serde_json::json;

use super::super::super::test_context::nasty_text;
use super::*;

fn tool(url: &str) -> HttpTool {
    HttpTool {
        method: "GET".to_owned(),
        url: url.to_owned(),
        query: BTreeMap::new(),
        headers: BTreeMap::new(),
        secret_query: BTreeMap::new(),
        body: None,
        allow_hosts: Vec::new(),
        allow_private: false,
    }
}

fn filled(tool: &HttpTool, arguments: &Value) -> Result<PreparedRequest, FillError> {
    RequestTemplate::compile(tool)
        .unwrap()
        .fill(arguments.as_object().unwrap())
}

fn url_of(tool: &HttpTool, arguments: &Value) -> Result<String, FillError> {
    filled(tool, arguments).map(|request| request.url.to_string())
}

#[rstest]
#[case("https://{host}/x")]
#[case("https://a.{tld}/x")]
#[case("https://a:{port}/x")]
#[case("{scheme}://a/x")]
#[case("{url}")]
#[case("https://user:pass@a/x")]
#[case("https://a\\@b/x")]
#[case("ftp://a/x")]
#[case("file:///etc/passwd")]
#[case("https:///x")]
#[case("https://")]
#[case("https://a/x/../y")]
#[case("https://a/%2e%2E/y")]
#[case("https://a/x?{name}=1")]
fn a_bad_url_is_refused(#[case] url: &str) {
    assert!(RequestTemplate::compile(&tool(url)).is_err());
}

#[rstest]
#[case("https://a.example/{id}/x", json!({"id": "b"}), "https://a.example/b/x")]
#[case("https://a.example/{id}", json!({"id": "b/c?d#e&f"}), "https://a.example/b%2Fc%3Fd%23e%26f")]
#[case("https://a.example/{id}", json!({"id": "é %2e"}), "https://a.example/%C3%A9%20%252e")]
#[case("https://a.example/{id}", json!({"id": "..."}), "https://a.example/...")]
#[case("https://a.example/v{id}", json!({"id": ""}), "https://a.example/v")]
#[case("https://a.example?q={q}&page={page}&fixed=1", json!({"q": "a&b=c"}), "https://a.example/?q=a%26b%3Dc&fixed=1")]
#[case("https://a.example:8443/x/#{fragment}", json!({}), "https://a.example:8443/x/")]
#[case("HTTPS://A.example/x", json!({}), "https://a.example/x")]
#[case("https://a.example/x", json!({"unused": 1}), "https://a.example/x")]
fn a_url_is_filled(#[case] url: &str, #[case] arguments: Value, #[case] expected: &str) {
    assert_eq!(url_of(&tool(url), &arguments).as_deref(), Ok(expected));
}

#[rstest]
#[case("https://a/{id}/x", json!({}))]
#[case("https://a/{id}/x", json!({"id": null}))]
#[case("https://a/{id}/x", json!({"id": ""}))]
#[case("https://a/{id}/x", json!({"id": "."}))]
#[case("https://a/{id}/x", json!({"id": ".."}))]
#[case("https://a/.{id}/x", json!({"id": "."}))]
#[case("https://a/%2e{id}/x", json!({"id": "."}))]
#[case("https://a/{id}{rest}/x", json!({"id": ".", "rest": "."}))]
fn a_path_that_an_argument_would_change_is_refused(#[case] url: &str, #[case] arguments: Value) {
    assert!(matches!(
        url_of(&tool(url), &arguments),
        Err(FillError::BadArguments(_))
    ));
}

#[test]
fn a_query_leaves_out_absent_arguments() {
    let mut tool = tool("https://a.example/x?fixed=1");
    tool.query = BTreeMap::from(
        [
            ("q q", "{q}"),
            ("limit", "{limit}"),
            ("markets", "{markets}"),
            ("plain", "a b"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let url = url_of(&tool, &json!({"q": "=&+ ", "markets": ["h2h", "spreads"]})).unwrap();
    let pairs: Vec<(String, String)> = Url::parse(&url).unwrap().query_pairs().into_owned().collect();
    let expected = [
        ("fixed", "1"),
        ("markets", "h2h,spreads"),
        ("plain", "a b"),
        ("q q", "=&+ "),
    ];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn secrets_are_in_the_request_and_nowhere_else() {
    let mut tool = tool("https://a.example/x");
    tool.headers = BTreeMap::from([("Authorization".to_owned(), Ok(Secret::new("Bearer sk-123456")))]);
    tool.secret_query = BTreeMap::from([("apiKey".to_owned(), Ok(Secret::new("key&with=signs")))]);
    let request = filled(&tool, &json!({})).unwrap();
    assert_eq!(request.url.as_str(), "https://a.example/x?apiKey=key%26with%3Dsigns");
    assert!(
        !format!("{:?}", request.secret_headers).contains("sk-"),
        "{:?}",
        request.secret_headers
    );
    let echo = "sk-123456 key&with=signs key%26with%3Dsigns Bearer sk-123456";
    assert_eq!(request.redactor.clean(echo), "*** *** *** ***");
}

#[test]
fn a_missing_variable_is_named() {
    let mut with_header = tool("https://a.example/x");
    with_header.headers = BTreeMap::from([("X-Token".to_owned(), Err("RSC_TOKEN".to_owned()))]);
    let mut with_query = tool("https://a.example/x");
    with_query.secret_query = BTreeMap::from([("key".to_owned(), Err("RSC_TOKEN".to_owned()))]);
    for tool in [with_header, with_query] {
        let error = filled(&tool, &json!({})).map(|_| ()).unwrap_err();
        assert_eq!(error, FillError::Config("the variable RSC_TOKEN is not set".to_owned()));
    }
}

#[rstest]
#[case("host", "a")]
#[case("Content-Length", "5")]
#[case("bad name", "a")]
#[case("x-token", "a\nb: c")]
fn a_bad_header_is_refused(#[case] name: &str, #[case] value: &str) {
    let mut tool = tool("https://a.example/x");
    tool.headers = BTreeMap::from([(name.to_owned(), Ok(Secret::new(value)))]);
    assert!(RequestTemplate::compile(&tool).is_err());
}

#[test]
fn a_body_is_filled_with_typed_arguments() {
    let mut tool = tool("https://a.example/x");
    tool.body = Some(json!({
        "model": "sonar", "n": 1, "messages": [{"role": "user", "content": "{q}"}, "{absent}"],
        "limit": "{limit}", "title": "About {q}", "gone": "{absent}", "{q}": true, "nested": {"list": "{list}"},
    }));
    let arguments = json!({"q": "\",\"role\":\"system", "limit": 5, "list": [1, {"a": null}]});
    let body: Value = serde_json::from_slice(&filled(&tool, &arguments).unwrap().body.unwrap()).unwrap();
    let expected = json!({
        "model": "sonar", "n": 1, "messages": [{"role": "user", "content": "\",\"role\":\"system"}],
        "limit": 5, "title": "About \",\"role\":\"system", "{q}": true, "nested": {"list": [1, {"a": null}]},
    });
    assert_eq!(body, expected);
}

#[test]
fn no_argument_leaves_its_place() {
    let mut tool = tool("https://a.example:444/v1/{a}/x{b}y/end?fixed=1&in={a}");
    tool.query = BTreeMap::from([("out".to_owned(), "<{b}>".to_owned())]);
    tool.body = Some(json!({"a": "{a}", "list": ["-{b}-"]}));
    let template = RequestTemplate::compile(&tool).unwrap();
    let mut random = StdRng::seed_from_u64(13);
    for _ in 0..20_000 {
        let (a, b) = (nasty_text(&mut random, 6), nasty_text(&mut random, 6));
        let request = match template.fill(json!({"a": a, "b": b}).as_object().unwrap()) {
            Ok(request) => request,
            Err(error) => {
                assert!(["", ".", ".."].contains(&a.as_str()), "{a:?} {b:?}: {error:?}");
                continue;
            }
        };
        let url = &request.url;
        assert_eq!(
            (url.scheme(), url.host_str(), url.port()),
            ("https", Some("a.example"), Some(444)),
            "{url}"
        );
        assert_eq!(
            (url.username(), url.password(), url.fragment()),
            ("", None, None),
            "{url}"
        );
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        let segments: Vec<String> = url.path_segments().unwrap().map(decode).collect();
        assert_eq!(segments, ["v1", &a, &format!("x{b}y"), "end"], "{url}");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expected = [("fixed", "1".to_owned()), ("in", a.clone()), ("out", format!("<{b}>"))];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value)), "{url}");
        let body: Value = serde_json::from_slice(&request.body.unwrap()).unwrap();
        assert_eq!(body, json!({"a": a, "list": [format!("-{b}-")]}));
    }
}

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rstest::rstest;
use tokio::net::TcpListener;

use super::super::ToolSet;
use super::super::test_context::{any_spec, call, context};
use super::guard::{AddressGuard, GuardedResolver};
use super::*;
use crate::config::Secret;

/// Counts as public in these tests.
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// Another address of this machine, which does not.
const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A server that does what the path says; ends with its runtime.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    address
}

async fn answer(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if let Some(status) = path.strip_prefix("/status/") {
        let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
        return (status, "it is not here").into_response();
    }
    if let Some(status) = path.strip_prefix("/redirect/") {
        let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
        let target = percent_encoding::percent_decode_str(&query)
            .decode_utf8()
            .unwrap()
            .into_owned();
        return (status, [(header::LOCATION, target)]).into_response();
    }
    match path.as_str() {
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        "/binary" => ([(header::CONTENT_TYPE, "image/png")], vec![0x89_u8, 0x50, 0xff]).into_response(),
        "/latin" => ([(header::CONTENT_TYPE, "text/plain")], vec![b'a', 0xe9_u8]).into_response(),
        "/json" => ([(header::CONTENT_TYPE, "application/json")], "{\n  \"a\": [1, 2]\n}").into_response(),
        "/escaped" => r#"{"key": "key\u0026\u0077ith=signs"}"#.into_response(),
        "/endless" => {
            let piece = bytes::Bytes::from_static(&[b'x'; 8 * 1024]);
            let pieces = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            Body::from_stream(pieces).into_response()
        }
        "/hang" => {
            Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>()).into_response()
        }
        _ => echo(path, query, request).await,
    }
}

/// What arrived, as JSON.
async fn echo(path: String, query: String, request: Request) -> Response {
    let method = request.method().to_string();
    let headers: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = to_bytes(request.into_body(), 1_000_000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let echo = json!({"method": method, "path": path, "query": query, "headers": headers, "body": body});
    echo.to_string().into_response()
}

/// Clients that know `public.test`, `other.test` and `inner.test`.
fn clients() -> Arc<HttpClients> {
    let guard = AddressGuard::new(false).with_exempt(&[PUBLIC]);
    let hosts = [("public.test", PUBLIC), ("other.test", PUBLIC), ("inner.test", PRIVATE)];
    let hosts: HashMap<String, Vec<IpAddr>> = hosts
        .into_iter()
        .map(|(name, address)| (name.to_owned(), vec![address]))
        .collect();
    let resolver = GuardedResolver::new(guard.clone()).with_hosts(hosts);
    Arc::new(HttpClients {
        public: GuardedClient::with_resolver(guard, resolver),
        any: GuardedClient::new(true),
    })
}

fn request(url: String) -> HttpTool {
    HttpTool {
        method: "GET".to_owned(),
        url,
        query: BTreeMap::new(),
        headers: BTreeMap::new(),
        secret_query: BTreeMap::new(),
        body: None,
        allow_hosts: ["public.test", "other.test", "inner.test", "127.0.0.1", "127.0.0.2"]
            .map(str::to_owned)
            .into(),
        allow_private: false,
    }
}

async fn run_for(request: &HttpTool, arguments: Value, timeout: Duration) -> Value {
    let limits = (timeout, 16_384);
    let tool = HttpRequestTool::compile(any_spec("web"), "web", limits, request, clients()).unwrap();
    let tools = ToolSet::of(vec![Arc::new(tool)]);
    let result = tools.call(&call("web", &arguments.to_string()), &context()).await;
    serde_json::from_str(&result.content).unwrap()
}

async fn run(request: &HttpTool, arguments: Value) -> Value {
    run_for(request, arguments, Duration::from_secs(10)).await
}

/// A URL that redirects to another.
fn redirect(port: u16, status: u16, to: &str) -> String {
    let to = percent_encoding::utf8_percent_encode(to, percent_encoding::NON_ALPHANUMERIC);
    format!("http://public.test:{port}/redirect/{status}?{to}")
}

#[tokio::test]
async fn a_request_arrives_as_configured_and_its_answer_has_no_secrets() {
    let address = serve().await;
    let mut request = request(format!("http://public.test:{}/v1/{{id}}?q={{q}}", address.port()));
    request.method = "POST".to_owned();
    request.headers = BTreeMap::from([("Authorization".to_owned(), Ok(Secret::new("Bearer sk-123456")))]);
    request.secret_query = BTreeMap::from([("key".to_owned(), Ok(Secret::new("secret-key")))]);
    request.body = Some(json!({"text": "{q}"}));
    let content = run(&request, json!({"id": "a/b", "q": "x&y"})).await;
    let result = &content["result"];
    assert_eq!(result["method"], json!("POST"), "{content}");
    assert_eq!(
        (&result["path"], &result["query"]),
        (&json!("/v1/a%2Fb"), &json!("q=x%26y&key=***"))
    );
    assert_eq!(result["body"], json!(r#"{"text":"x&y"}"#));
    let headers = &result["headers"];
    assert_eq!(
        (&headers["authorization"], &headers["content-type"]),
        (&json!("***"), &json!("application/json"))
    );
    assert!(
        headers["user-agent"].as_str().unwrap().starts_with("agentnet-mesh/"),
        "{headers}"
    );
    assert!(!content.to_string().contains("123456"));
}

#[rstest]
#[case("/json", json!({"a": [1, 2]}))]
#[case("/empty", json!({"status": 204}))]
#[case("/latin", json!("a\u{fffd}"))]
#[tokio::test]
async fn an_answer_becomes_json_or_text(#[case] path: &str, #[case] expected: Value) {
    let address = serve().await;
    let content = run(
        &request(format!("http://public.test:{}{path}", address.port())),
        json!({}),
    )
    .await;
    assert_eq!(content, json!({"ok": true, "tool": "web", "result": expected}));
}

#[tokio::test]
async fn a_secret_in_escapes_of_json_is_removed() {
    let address = serve().await;
    let mut request = request(format!("http://public.test:{}/escaped", address.port()));
    request.headers = BTreeMap::from([("X-Token".to_owned(), Ok(Secret::new("key&with=signs")))]);
    let content = run(&request, json!({})).await;
    assert_eq!(content["result"], json!({"key": "***"}), "{content}");
}

#[rstest]
#[case("/status/404", "http_status", "404 Not Found: it is not here")]
#[case("/status/500", "http_status", "500 Internal Server Error: it is not here")]
#[case("/binary", "not_text", "3 bytes of \"image/png\"")]
#[case("/hang", "timeout", "no result after 1 s")]
#[tokio::test]
async fn a_failure_has_a_code(#[case] path: &str, #[case] code: &str, #[case] part: &str) {
    let address = serve().await;
    let request = request(format!("http://public.test:{}{path}", address.port()));
    let content = run_for(&request, json!({}), Duration::from_secs(1)).await;
    assert_eq!(content["error"], json!(code), "{content}");
    assert!(content["detail"].as_str().unwrap().contains(part), "{content}");
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let address = serve().await;
    let content = run(
        &request(format!("http://public.test:{}/endless", address.port())),
        json!({}),
    )
    .await;
    assert_eq!(content["truncated"], json!(true), "{}", content["error"]);
    assert!(content.to_string().len() < 16_384 + 200);
}

#[tokio::test]
async fn a_missing_variable_is_an_error_that_names_it() {
    let mut request = request("http://public.test/x".to_owned());
    request.headers = BTreeMap::from([("X-Token".to_owned(), Err("RSC_TOKEN".to_owned()))]);
    let content = run(&request, json!({})).await;
    let detail = "the variable RSC_TOKEN is not set";
    assert_eq!(
        content,
        json!({"ok": false, "tool": "web", "error": "config_error", "detail": detail})
    );
}

#[rstest]
#[case("http://127.0.0.2:1/x")]
#[case("http://inner.test:1/x")]
#[tokio::test]
async fn a_private_address_is_not_connected_to(#[case] url: &str) {
    let content = run(&request(url.to_owned()), json!({})).await;
    assert_eq!(content["error"], json!("address_refused"), "{content}");
    let mut allowed = request(url.replace("inner.test", "127.0.0.2"));
    allowed.allow_private = true;
    assert_eq!(run(&allowed, json!({})).await["error"], json!("connect_failed"));
}

#[tokio::test]
async fn the_name_of_this_machine_is_refused_after_its_lookup() {
    let mut request = request("http://localhost:1/x".to_owned());
    request.allow_hosts = vec!["localhost".to_owned()];
    let limits = (Duration::from_secs(10), 16_384);
    let clients = Arc::new(HttpClients::new());
    let tool = HttpRequestTool::compile(any_spec("web"), "web", limits, &request, clients).unwrap();
    let ToolOutcome::Failed { code, detail } = tool.call(json!({}), &context()).await else {
        panic!("connected to localhost");
    };
    assert_eq!(code, "address_refused", "{detail}");
}

#[rstest]
#[case(301, "http://other.test:{port}/x", "GET", "")]
#[case(302, "/x", "GET", "")]
#[case(303, "/x", "GET", "")]
#[case(307, "/x", "POST", r#"{"a":1}"#)]
#[case(308, "/x", "POST", r#"{"a":1}"#)]
#[tokio::test]
async fn a_redirect_is_followed(#[case] status: u16, #[case] to: &str, #[case] method: &str, #[case] body: &str) {
    let port = serve().await.port();
    let mut request = request(redirect(port, status, &to.replace("{port}", &port.to_string())));
    request.method = "POST".to_owned();
    request.body = Some(json!({"a": 1}));
    request.headers = BTreeMap::from([("X-Token".to_owned(), Ok(Secret::new("sk-123456")))]);
    let content = run(&request, json!({})).await;
    let result = &content["result"];
    assert_eq!(
        (&result["method"], &result["body"]),
        (&json!(method), &json!(body)),
        "{content}"
    );
    // The redirect to another host does not take the secrets along.
    assert_eq!(
        result["headers"].get("x-token").is_some(),
        to.starts_with('/'),
        "{content}"
    );
}

#[rstest]
#[case("http://evil.test/", "host_not_allowed")]
#[case("http://public.test.evil.test/", "host_not_allowed")]
#[case("http://127.0.0.2:{port}/x", "address_refused")]
#[case("http://inner.test:{port}/x", "address_refused")]
#[case("http://0x7f000002:{port}/x", "address_refused")]
#[case("http://other.test:1/x", "redirect_refused")]
#[case("file:///etc/passwd", "redirect_refused")]
#[case("http://user:pass@other.test/", "redirect_refused")]
#[case("http://[", "redirect_refused")]
#[tokio::test]
async fn a_redirect_elsewhere_is_refused(#[case] to: &str, #[case] code: &str) {
    let port = serve().await.port();
    let content = run(
        &request(redirect(port, 302, &to.replace("{port}", &port.to_string()))),
        json!({}),
    )
    .await;
    assert_eq!(content["error"], json!(code), "{content}");
}

#[tokio::test]
async fn a_body_is_not_redirected_to_another_host() {
    let port = serve().await.port();
    let mut request = request(redirect(port, 307, &format!("http://other.test:{port}/x")));
    request.method = "POST".to_owned();
    request.body = Some(json!({}));
    assert_eq!(run(&request, json!({})).await["error"], json!("redirect_refused"));
}

#[tokio::test]
async fn redirects_end() {
    let port = serve().await.port();
    // An empty location is the same URL again.
    let content = run(&request(redirect(port, 302, "")), json!({})).await;
    assert_eq!(content["error"], json!("too_many_redirects"), "{content}");
}

#[rstest]
#[case("https://a.example/x", &["b.example"])]
#[case("https://a.example/x", &["*"])]
#[case("https://a.example/x", &["*.a.example"])]
fn the_host_of_the_url_must_be_allowed(#[case] url: &str, #[case] allow_hosts: &[&str]) {
    let mut request = request(url.to_owned());
    request.allow_hosts = allow_hosts.iter().map(|host| (*host).to_owned()).collect();
    let limits = (Duration::from_secs(10), 16_384);
    assert!(HttpRequestTool::compile(any_spec("web"), "web", limits, &request, clients()).is_err());
}

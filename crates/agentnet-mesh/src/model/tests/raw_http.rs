//! Servers that do not speak HTTP as it is meant.

use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::server::ScriptedServer;
use super::{ask, provider};
use crate::config::Api;
use crate::model::ModelErrorKind;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";

/// Address of a server that answers the first request with these bytes, the last of them again and again if it is endless,
/// and then closes the connection.
async fn serve(answer: String, is_endless: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        let _ = connection.read(&mut request).await;
        let _ = connection.write_all(answer.as_bytes()).await;
        // Ends when the client closes the connection.
        while is_endless && connection.write_all(&[b'a'; 4_096]).await.is_ok() {}
    });
    format!("http://{address}/v1")
}

#[rstest]
#[case::no_http("hello\r\n\r\n".to_owned(), false)]
#[case::nothing(String::new(), false)]
#[case::half_a_head(HEAD[..40].to_owned(), false)]
#[case::an_endless_header("HTTP/1.1 200 OK\r\nx-long: ".to_owned(), true)]
#[case::a_wrong_chunk(format!("{HEAD}{:x}\r\n{EVENT}\r\nZZ\r\n", EVENT.len()), false)]
#[case::half_a_chunk(format!("{HEAD}ffff\r\n{EVENT}"), false)]
#[case::no_last_chunk(format!("{HEAD}{:x}\r\n{EVENT}\r\n", EVENT.len()), false)]
#[case::a_short_body(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n{EVENT}"), false)]
#[tokio::test]
async fn a_broken_answer(#[case] answer: String, #[case] is_endless: bool) {
    let unused = ScriptedServer::start([]).await;
    let mut provider = provider(Api::OpenAiChat, &unused);
    provider.base_url = serve(answer, is_endless).await;
    let error = ask(&provider).await.1.unwrap();
    assert_eq!((error.kind, error.status), (ModelErrorKind::Connect, None), "{error}");
}

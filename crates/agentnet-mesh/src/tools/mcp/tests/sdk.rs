//! Against servers of the official SDK for Python, which `make llm-sdks` installs.

use std::net::TcpListener;

use super::*;

fn python() -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/llm-sdks/bin/python");
    assert!(
        std::path::Path::new(python).exists(),
        "the SDKs are missing: run `make llm-sdks`"
    );
    python.to_owned()
}

fn sdk_script() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/mcp/tests/sdk_server.py").to_owned()
}

async fn assert_works(fixture: Fixture) {
    let tools = fixture.select(&["mcp.*"]).await;
    assert_eq!(
        names(&tools),
        ["mcp__files__add", "mcp__files__fail", "mcp__files__slow"]
    );
    let sum = content(&tools, "mcp__files__add", &json!({"a": 2, "b": 3})).await;
    assert_eq!(sum["result"], json!({"result": 5}), "{sum}");
    let failed = content(&tools, "mcp__files__fail", &json!({})).await;
    assert_eq!(failed["error"], json!("tool_error"), "{failed}");
    assert!(
        failed["detail"].as_str().unwrap().contains("the disk is full"),
        "{failed}"
    );

    let context = context();
    let call = call("mcp__files__slow", "{}");
    let cancelling = async {
        fixture.logged("tools/call").await;
        context.cancelled.cancel();
    };
    let (result, ()) = tokio::join!(tools.call(&call, &context), cancelling);
    assert!(result.content.contains("\"cancelled\""), "{}", result.content);
    fixture.logged("slow was cancelled").await;
    fixture.tools.close().await;
}

#[tokio::test]
async fn the_python_sdk_is_used_over_standard_input_and_output() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log").to_str().unwrap().to_owned();
    let argv = vec![python(), sdk_script(), "stdio".to_owned(), log];
    let server = McpServer::Command {
        argv,
        cwd: None,
        env: BTreeMap::new(),
    };
    let tools = SharedTools::start(&mesh(server));
    assert_works(Fixture { directory, tools }).await;
}

#[tokio::test]
async fn the_python_sdk_is_used_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = tokio::process::Command::new(python())
        .args([&sdk_script(), &port.to_string()])
        .arg(directory.path().join("log"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let connected = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop);
    eventually(WAIT, connected).await.unwrap();
    let server = McpServer::Http {
        url: format!("http://127.0.0.1:{port}/mcp"),
        headers: BTreeMap::new(),
    };
    let tools = SharedTools::start(&mesh(server));
    assert_works(Fixture { directory, tools }).await;
}

//! `mesh ask`: how long a question lives, long answers, and a file that is broken.

use agentnet::{AgentNode, Context, Message, json};
use tempfile::TempDir;

use crate::harness::{Up, agentnet, binary, run};
use crate::mesh::scripted::without_keys;

/// Pieces of the answer, and characters of each: more than one message can have.
const PIECES: usize = 10;
const PIECE: usize = 30_000;

/// An agent whose streamed answer does not fit into its end, which tells the lifetime of the question.
async fn streamer(up: &Up) -> AgentNode {
    AgentNode::builder("streamer")
        .username("streamer")
        .nats_url(&up.url)
        .on_message(|message: Message, context: Context| async move {
            let stream = context.reply_stream().await?;
            for _ in 0..PIECES {
                stream.delta(&"x".repeat(PIECE)).await?;
            }
            let result = json!({ "text": "x", "truncated": true, "ttl_ms": message.ttl_ms });
            stream.end_with(result).await?;
            Ok(())
        })
        .start()
        .await
        .unwrap()
}

/// A question that nobody waits for any more is expired; so is one that lives longer than receivers remember its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_lives_as_long_as_it_is_waited_for() {
    let mut up = Up::start().await;
    let streamer = streamer(&up).await;
    for (timeout, ttl_ms) in [("20", 20_000), ("90", 90_000), ("2000", 600_000)] {
        let words = ["--json", "mesh", "ask", "@streamer", "hi", "--timeout", timeout];
        let reply = agentnet(&up.url, words).await.json();
        assert_eq!(reply["result"]["ttl_ms"], ttl_ms);
        // The pieces, not the shortened text of the end.
        assert_eq!(reply["text"].as_str().unwrap().len(), PIECES * PIECE);
    }
    streamer.close().await;
    up.stop().await;
}

/// A broken `mesh.yaml` that happens to be here does not matter to an agent that is online; one that is named does.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_an_error_only_if_it_is_named() {
    let mut up = Up::start().await;
    let streamer = streamer(&up).await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("mesh.yaml"), "version: 1\nagent: []\n").unwrap();
    let ask = async |more: &[&str]| {
        let mut command = without_keys(binary());
        command.args(["--nats-url", &up.url, "mesh", "ask", "streamer", "hi"]);
        command.args(more).current_dir(folder.path());
        run(command).await
    };
    let ran = ask(&[]).await;
    assert!(ran.stderr.starts_with("warning: mesh.yaml has 1 problem"), "{ran:?}");
    assert_eq!(ran.ok().trim().len(), PIECES * PIECE);
    let named = [["--config", "mesh.yaml"], ["--set", "defaults.timezone=UTC"]];
    for words in named {
        ask(&words)
            .await
            .fails(2, &["mesh.yaml has 1 problem", "mesh.yaml:2:1 agent"]);
    }
    streamer.close().await;
    up.stop().await;
}

//! A real model: the demo of `make mesh-demo` on SmolLM2, where `make llm` has installed it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use agentnet_testkit::find_nats_server;
use tokio::process::Command;
use tokio::time::timeout;

use crate::mesh::scripted::without_keys;

/// The longest that the demo may take: the model shares the processors with other tests.
const DEMO_TIMEOUT: Duration = Duration::from_secs(280);

/// The duo for two turns and the trio, with both families of APIs; the script reads the threads back.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_answers_for_the_duo_and_the_trio() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join(".tools/llm/.installed").exists() {
        println!("no model: run `make llm`");
        return;
    }
    let mut command = without_keys(Command::new("bash"));
    command
        .arg("scripts/mesh-demo.sh")
        .current_dir(&root)
        .env("AGENTNET", env!("CARGO_BIN_EXE_agentnet"))
        .env("AGENTNET_NATS_SERVER", find_nats_server().unwrap())
        .env_remove("NATS_URL")
        .env_remove("AGENTNET_NATS_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(DEMO_TIMEOUT, command.output())
        .await
        .expect("the demo takes too long")
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("mesh-demo: everything worked"), "{said}");
}

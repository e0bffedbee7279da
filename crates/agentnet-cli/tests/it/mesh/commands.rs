//! `mesh check`, `schema`, `init`, `ask`, and what they say of mistakes.

use agentnet::json;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ran, binary, run};
use crate::mesh::scripted::{KEY, Mesh, Setup, agent, head, says, without_keys};

pub async fn mesh(words: &[&str], folder: &TempDir) -> Ran {
    let mut command = without_keys(binary());
    command.arg("mesh").args(words).current_dir(folder.path());
    run(command).await
}

/// Each template is written, is valid, and is not written over.
#[tokio::test]
async fn templates_are_written_and_valid() {
    for template in ["duo", "trio", "support"] {
        let folder = TempDir::new().unwrap();
        mesh(&["init", "--template", template], &folder).await.ok();
        let checked = mesh(&["check", "mesh.yaml"], &folder).await;
        assert!(matches!(checked.code, Some(0 | 1)), "{checked:?}");
        if checked.code == Some(1) {
            // Only keys may be missing.
            assert!(checked.stdout.contains("_API_KEY is not set"), "{checked:?}");
        }
        let again = mesh(&["init", "--template", template], &folder).await;
        assert_ne!(again.code, Some(0), "{again:?}");
    }
}

/// The schema is one JSON document that names every part of the file.
#[tokio::test]
async fn the_schema_is_printed() {
    let folder = TempDir::new().unwrap();
    let schema = mesh(&["schema"], &folder).await.json();
    let properties = schema["properties"].as_object().unwrap();
    for name in [
        "version",
        "defaults",
        "providers",
        "prices",
        "mcp_servers",
        "tools",
        "agents",
    ] {
        assert!(properties.contains_key(name), "{name}: {schema}");
    }
}

/// All mistakes of a file at once, each with its line and column, and what was meant.
#[tokio::test]
async fn mistakes_are_shown_where_they_are() {
    let folder = TempDir::new().unwrap();
    let yaml = "version: 1\nproviders:\n  claude: { api: anthropic-messages, base_url: \"http://x\", api_key: k }\nagents:\n\
                \x20 - key: a\n    prompt: { text: A. }\n    model: { provider: clade, name: m }\n    limitz: {}\n";
    std::fs::write(folder.path().join("mesh.yaml"), yaml).unwrap();
    let ran = mesh(&["check", "mesh.yaml"], &folder).await;
    ran.fails(2, &["mesh.yaml:8:5", "limitz", "limits"]);
    let told = mesh(&["check", "mesh.yaml", "--json"], &folder).await.fails_as_json(2);
    assert_eq!(told["code"], "config_error");
    assert!(told["hint"].as_str().unwrap().contains("limitz"), "{told}");
    std::fs::write(folder.path().join("mesh.yaml"), yaml.replace("    limitz: {}\n", "")).unwrap();
    let ran = mesh(&["check", "mesh.yaml"], &folder).await;
    ran.fails(2, &["mesh.yaml:7:", "agents[0].model.provider", "clade", "claude"]);
    let ran = mesh(&["run", "mesh.yaml", "--only", "nobody"], &folder).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = mesh(&["check", "absent.yaml"], &folder).await;
    assert!(ran.stderr.contains("absent.yaml"), "{ran:?}");
}

/// `check --online` asks the providers, `ask` asks an agent; neither prints the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_is_checked_and_asked() {
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("helper", "You help.", ""),
        online: &["helper"],
        fixtures: json!([says(json!({}), "At your service.")]),
        ..Setup::default()
    })
    .await;
    let mut check = mesh.command("check");
    check.arg("--online");
    let ran = run(check).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!format!("{ran:?}").contains(KEY), "{ran:?}");
    let mut ask = without_keys(binary());
    ask.args(["--nats-url", &mesh.up.url, "mesh", "ask", "helper", "are you there?"]);
    assert!(run(ask).await.ok().contains("At your service."));
    let mut ask = without_keys(binary());
    ask.args([
        "--nats-url",
        &mesh.up.url,
        "--json",
        "mesh",
        "ask",
        "helper",
        "are you there?",
    ]);
    let reply: Value = run(ask).await.json();
    assert!(reply.to_string().contains("At your service."), "{reply}");
    mesh.stop().await;
}

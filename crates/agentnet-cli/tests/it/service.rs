//! Running services: private files, signals, empty environment variables, a database that disappears.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agentnet_testkit::{NatsServer, RawClient, eventually};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::process::gone;
use crate::harness::{FreePort, Service, Up, WAIT_TIMEOUT, binary, command, echo, line, until};

/// `agentnet`, run by a shell that does this first.
fn after(shell: &str) -> Command {
    let mut command = command(Path::new("sh"));
    command
        .arg("-c")
        .arg(format!("{shell}; exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_agentnet"));
    command
}

/// Every file and directory below this one, and itself.
fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).unwrap() {
            all.extend(everything_in(&entry.unwrap().path()));
        }
    }
    all
}

#[tokio::test]
async fn files_are_for_their_owner_alone_whatever_the_umask() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let port = FreePort::take().await;
    let mut command = after("umask 000");
    command
        .args(["--json", "up", "--port", &port.number().to_string(), "--data-dir"])
        .arg(&data)
        .arg("--nats-server")
        .arg(agentnet_testkit::find_nats_server().unwrap());
    let mut up = Service::spawn(command);
    let url = up.next_json().await["url"].as_str().unwrap().to_owned();
    let agent = echo(&url, "--username keeper").await;
    line(&url, "request --to-username keeper --thread-id t 1").await.ok();
    until(&url, "thread-messages --thread-id t", |kept| {
        kept["messages"].as_array().is_some_and(|messages| messages.len() == 2)
    })
    .await;
    let all = everything_in(&data);
    for name in [
        "agentnet.db",
        "agentnet.db-wal",
        "agentnet.db-shm",
        "lock",
        "nats-server.log",
    ] {
        assert!(all.contains(&data.join(name)), "{name} is missing in {all:?}");
    }
    for path in all {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    drop(agent);
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_directory_that_was_there_keeps_its_mode_and_hides_the_database() {
    let folder = TempDir::new().unwrap();
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = binary();
    command
        .args(["--nats-url", &nats.url(), "registry", "--data-dir"])
        .arg(&data);
    let mut registry = Service::spawn(command);
    assert!(registry.next_line().await.starts_with("registry ready:"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o755, "somebody else's directory is theirs to change");
    assert_eq!(mode(&data.join("agentnet.db")), 0o600);
    registry.signal(Signal::TERM);
    assert_eq!(registry.ended().await.code(), Some(0));
}

/// Every signal ends an agent with a goodbye.
#[tokio::test]
async fn an_agent_says_goodbye_whatever_signal_ends_it() {
    let mut up = Up::start().await;
    for (signal, code) in [(Signal::HUP, 130), (Signal::TERM, 0), (Signal::INT, 130)] {
        let mut agent = echo(&up.url, "--username parrot").await;
        assert!(line(&up.url, "list").await.ok().contains("parrot"));
        agent.signal(signal);
        assert_eq!(agent.ended().await.code(), Some(code), "{signal:?}");
        // A time to live is longer than this.
        assert_eq!(line(&up.url, "list").await.ok(), "No agents currently online\n");
    }
    up.service.signal(Signal::HUP);
    assert_eq!(up.service.ended().await.code(), Some(0));
    gone(up.nats_pid()).await;
}

#[tokio::test]
async fn under_nohup_an_agent_outlives_its_terminal() {
    let mut up = Up::start().await;
    let mut command = after("trap '' HUP");
    command.args(["--nats-url", &up.url, "echo", "--username", "parrot"]);
    let mut agent = Service::spawn(command);
    agent.says("is online as").await;
    agent.signal(Signal::HUP);
    line(&up.url, "request --to-username parrot 1").await.ok();
    agent.signal(Signal::TERM);
    assert_eq!(agent.ended().await.code(), Some(0));
    up.stop().await;
}

#[tokio::test]
async fn variables_that_are_set_to_nothing_count_as_unset() {
    let nats = NatsServer::builder().start().await.unwrap();
    let help = line(&nats.url(), "registry --help").await.ok();
    // As `[env: NAME=]` in the help of clap.
    let names: Vec<&str> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| rest.split(['=', ']']).next())
        .collect();
    assert!(
        names.contains(&"AGENT_TTL_SECONDS") && names.contains(&"DATABASE_URL"),
        "{names:?}"
    );
    let folder = TempDir::new().unwrap();
    for blank in ["", " "] {
        let mut command = binary();
        command.args(["registry", "--nats-url", &nats.url(), "--data-dir"]);
        command.arg(folder.path());
        for name in names.iter().chain(&[
            "RUST_LOG",
            "LOG_LEVEL",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_BSP_MAX_QUEUE_SIZE",
        ]) {
            command.env(name, blank);
        }
        let mut registry = Service::spawn(command);
        assert!(registry.next_line().await.starts_with("registry ready:"));
        registry.signal(Signal::TERM);
        assert_eq!(registry.ended().await.code(), Some(0));
    }
}

/// The file is open, so that everything would seem to work, until the next start finds nothing.
#[tokio::test]
async fn a_database_that_is_removed_ends_the_network_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let port = FreePort::take().await;
    let start = || Service::spawn(Up::command(&data, &port.number().to_string()));
    let mut up = start();
    let ready = up.next_json().await;
    let url = ready["url"].as_str().unwrap().to_owned();
    let client = RawClient::connect(&url).await.unwrap();
    let away = folder.path().join("away");
    std::fs::create_dir(&away).unwrap();
    // The registry sees a message that waits and a file that is gone at the same time.
    up.signal(Signal::STOP);
    for name in ["agentnet.db", "agentnet.db-wal", "agentnet.db-shm"] {
        std::fs::rename(data.join(name), away.join(name)).unwrap();
    }
    let message = r#"{"message_id":"m","from_agent":"a","to_agent":"b","thread_id":"t","payload":1}"#;
    client.publish("account.acct_b.inbox", message.into()).await.unwrap();
    client.flush().await.unwrap();
    up.signal(Signal::CONT);
    assert_eq!(up.ended().await.code(), Some(1), "{}", up.stderr());
    let said = up.stderr();
    assert!(
        said.contains("cannot go on: ") && said.contains("agentnet.db has been removed while it was in use"),
        "{said}"
    );
    gone(i32::try_from(ready["nats_server"]["pid"].as_i64().unwrap()).unwrap()).await;
    assert!(!data.join("agentnet.db").exists(), "nothing is made in its place");

    // What was not stored is in the stream, and stored when the file is back.
    for name in ["agentnet.db", "agentnet.db-wal", "agentnet.db-shm"] {
        let _ = std::fs::rename(away.join(name), data.join(name));
    }
    let mut up = start();
    up.next_json().await;
    let stored = async || {
        let ran = line(&url, "thread-messages --thread-id t --json").await;
        if ran.stdout.contains("\"payload\":1") || ran.stdout.contains("\"payload\": 1") {
            Ok(())
        } else {
            Err(format!("{ran:?}"))
        }
    };
    eventually(WAIT_TIMEOUT, stored).await.unwrap();
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await.code(), Some(0));
}

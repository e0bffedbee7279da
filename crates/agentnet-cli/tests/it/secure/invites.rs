//! Invites: used once, by one, in time.

use std::os::unix::fs::PermissionsExt as _;

use agentnet::protocol::invite::Invite;
use agentnet::protocol::nkey::Nkey;
use agentnet_store::model::{Invited, NewInvite, NewMember};
use agentnet_testkit::TestDatabase;
use futures::future::join_all;

use super::Network;
use crate::harness::{line, line_with_input, run};

#[tokio::test]
async fn an_invite_makes_a_member_once() {
    let network = Network::start().await;
    let invited = network
        .line("invite Alice --capability chat --may-send-to operator --ttl 2h --url nats://localhost:1 --timeout 9 --json")
        .await
        .json();
    assert_eq!(
        (&invited["username"], &invited["role"]),
        (&"alice".into(), &"agent".into())
    );
    assert_eq!(invited["urls"][0], "nats://localhost:1");
    assert_eq!(network.record("alice").await["state"], "invited");

    // The code of a later invite replaces the earlier one.
    let code = network.invite("alice --capability chat").await;
    assert!(
        code.starts_with("agentnet-join1.") && code.lines().count() == 1,
        "{code}"
    );
    let joined = network.join(&code).await;
    assert!(joined.stderr.contains("identity:"), "{joined:?}");
    assert!(joined.ok().starts_with("joined as @alice (agent, acct_"));
    let file = network.identity_file("alice");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let record = network.record("alice").await;
    assert_eq!(
        (&record["state"], &record["capabilities"][0]),
        (&"active".into(), &"chat".into())
    );

    let elsewhere = file.with_file_name("other.json");
    let again = network
        .line(&format!("join {code} --identity-file {}", elsewhere.display()))
        .await;
    again.fails(2, &["was used", "agentnet invite"]);
    assert!(!elsewhere.exists() && !elsewhere.with_extension("json.pending").exists());
    network.line("invite alice").await.fails(2, &["member_exists"]);
}

#[tokio::test]
async fn of_two_that_use_an_invite_at_once_one_joins() {
    let network = Network::start().await;
    let code = network.invite("racer").await;
    let file = |number: usize| network.up.data.join(format!("racer-{number}.json"));
    let attempts = (0..4).map(|number| {
        let mut command = network.command("join --identity-file");
        command.arg(file(number)).arg(&code);
        run(command)
    });
    let ran = join_all(attempts).await;
    let won: Vec<usize> = (0..4).filter(|number| ran[*number].code == Some(0)).collect();
    assert_eq!(won.len(), 1, "{ran:?}");
    for number in 0..4 {
        assert_eq!(file(number).exists(), won == [number], "{number}: {ran:?}");
    }
    line(&format!("identity:{}", file(won[0]).display()), "list").await.ok();
}

#[tokio::test]
async fn codes_come_from_standard_input_and_damaged_ones_are_told() {
    let network = Network::start().await;
    let code = network.invite("piper").await;
    let file = network.up.data.join("piper.json");
    let words = format!("join - --identity-file {}", file.display());
    // The address is of no matter here: that of the invite counts.
    line_with_input("nats://127.0.0.1:1", &words, format!("  {code}\n"))
        .await
        .ok();
    for (code, told) in [
        ("agentnet-join1.x", "not base64url"),
        ("agentnet-join2.x", "another version"),
        ("hello", "not an invite"),
        (&code[..code.len() - 4], "copy it whole"),
    ] {
        network.join(code).await.fails(2, &[told]);
    }
    let other = network.invite("other").await;
    let taken = network
        .line(&format!("join {other} --identity-file {}", file.display()))
        .await;
    taken.fails(2, &["identity of another member"]);
}

#[tokio::test]
async fn an_invite_ends_at_its_time() {
    if TestDatabase::kind() != "sqlite" {
        return;
    }
    let network = Network::start().await;
    let mut invite = Invite::decode(&network.invite("late").await).unwrap();
    // The shortest lifetime is a minute, so this one is made in the database.
    let url = agentnet_store::sqlite_url(&network.up.data.join("agentnet.db"));
    let store = agentnet_store::open(&url, &agentnet_store::OpenOptions::default())
        .await
        .unwrap();
    let past = invite.expires_at.saturating_add_millis(-2 * 86_400_000);
    let member = NewMember {
        new_account_id: "acct_unused".into(),
        username: "late".into(),
        role: "agent".into(),
        capabilities: Vec::new(),
        may_send_to: None,
        at: past,
    };
    invite.invite_id = "inv_late".into();
    let expired = NewInvite {
        invite_id: invite.invite_id.clone(),
        secret: invite.secret.to_vec(),
        join_nkey: Nkey::from_seed(&invite.join_seed).public(),
        expires_at: past,
    };
    let made = store.invite_member(&member, &expired).await.unwrap();
    assert!(matches!(made, Invited::Invited(_)), "{made:?}");
    // Whoever changes a member has the users written again.
    network.add("other").await;
    network.join(&invite.encode()).await.fails(2, &["has expired"]);
    assert!(!network.identity_file("late").exists());
    store.close().await;
}

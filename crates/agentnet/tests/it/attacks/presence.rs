//! Forged hellos and goodbyes of another agent's session.

use agentnet::protocol::presence_auth::{self, hello};
use agentnet::protocol::rpc::Goodbye;
use agentnet::protocol::signing_scope::SigningScope;
use agentnet::protocol::{AgentInfo, RawJson};
use agentnet::{AgentNode, SigningKey};
use agentnet_testkit::eventually_true;
use serde_json::{Value, json};

use crate::attacks::harness::*;
use crate::net::{DEADLINE, from_now, now, parse};

/// An agent's description of itself, with a time so many milliseconds from now.
fn info(peer: &Peer, metadata: &Value, millis: i128) -> AgentInfo {
    AgentInfo {
        agent_id: peer.id.clone(),
        name: peer.id.clone(),
        capabilities: Vec::new(),
        metadata: RawJson::from(metadata),
        account_id: Some(peer.account_id.clone()),
        username: Some(peer.id.clone()),
        session_tag: Some(peer.session_tag.clone()),
        last_seen: Some(from_now(millis)),
    }
}

fn goodbye(peer: &Peer) -> Goodbye {
    Goodbye {
        agent_id: peer.id.clone(),
        session_tag: peer.session_tag.clone(),
        seen_at: now(),
    }
}

fn body(text: &str) -> Value {
    parse(text.as_bytes())
}

/// The metadata with which a session is listed; `None` if it is not online.
async fn listed(realm: &Realm, tag: &str) -> Option<Value> {
    let online = realm.online().await;
    let session = online.iter().find(|session| session["session_tag"] == tag);
    session.map(|session| session["metadata"].clone())
}

/// Hellos for the victim's session, or for no session, that must be ignored.
fn forged_hellos(victim: &Peer, mallory: &Peer) -> Vec<(&'static str, Value)> {
    let evil = json!({ "evil": true });
    let as_victim = info(victim, &evil, 0);
    let mut invented = info(mallory, &json!({}), 0);
    invented.session_tag = Some("registry_01K00000000000000000000000".into());
    let broken = |auth: Value| with(body(&hello(&as_victim, Some(&victim.key))), "auth", auth);
    let signed_by_victim = body(&hello(&info(victim, &json!({}), 0), Some(&victim.key)));
    vec![
        ("unsigned", body(&hello(&as_victim, None))),
        ("by another key", body(&hello(&as_victim, Some(&mallory.key)))),
        ("changed", with(signed_by_victim.clone(), "metadata", evil.clone())),
        ("renamed", with(signed_by_victim.clone(), "name", json!("Evil Twin"))),
        (
            "moved",
            with(signed_by_victim, "session_tag", json!(mallory.session_tag)),
        ),
        (
            "too old",
            body(&hello(&info(victim, &evil, -121_000), Some(&victim.key))),
        ),
        (
            "too new",
            body(&hello(&info(victim, &evil, 122_000), Some(&victim.key))),
        ),
        ("no auth", broken(json!([]))),
        ("empty auth", broken(json!({}))),
        (
            "large auth",
            broken(json!({ "scheme": "dev-ed25519-v1", "public_key": "A".repeat(300_000), "signature": "A" })),
        ),
        ("no such session", body(&hello(&invented, Some(&mallory.key)))),
    ]
}

fn signed_goodbye(peer: &Peer, key: Option<&SigningKey>) -> Value {
    body(&presence_auth::goodbye(&goodbye(peer), key))
}

/// Goodbyes for the victim's session, or for no session, that must be ignored.
fn forged_goodbyes(victim: &Peer, mallory: &Peer) -> Vec<(&'static str, Value)> {
    vec![
        ("unsigned", signed_goodbye(victim, None)),
        ("the tag alone", json!({ "session_tag": victim.session_tag })),
        ("by another key", signed_goodbye(victim, Some(&mallory.key))),
        (
            "moved",
            with(
                signed_goodbye(mallory, Some(&mallory.key)),
                "session_tag",
                json!(victim.session_tag),
            ),
        ),
        (
            "no such session",
            json!({ "session_tag": "registry_01K00000000000000000000000" }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_speaks_for_the_session_of_another() {
    let realm = Realm::start().await;
    let second = realm.another_registry("second").await;
    let victim = realm.peer("victim", SigningScope::ALL).await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let before = (realm.online().await, realm.accounts().await);
    for (what, hello) in forged_hellos(&victim, &mallory) {
        realm.publish("registry.hello", &hello).await;
        assert_eq!(realm.online().await, before.0, "{what}");
    }
    // A session stays in its own account, whatever its hello says.
    let mut own_as_victim = info(&mallory, &json!({}), 0);
    own_as_victim.account_id = Some(victim.account_id.clone());
    own_as_victim.username = Some("victim".into());
    realm
        .publish("registry.hello", &body(&hello(&own_as_victim, Some(&mallory.key))))
        .await;
    assert_eq!(realm.online().await, before.0);

    for (what, goodbye) in forged_goodbyes(&victim, &mallory) {
        realm.publish("registry.goodbye", &goodbye).await;
        assert_eq!(realm.online().await, before.0, "{what}");
    }
    assert_eq!(realm.accounts().await, before.1);
    second.shutdown().await;

    // The owner's hello and goodbye count.
    let changed = info(&victim, &json!({ "own": 1 }), 0);
    realm
        .publish("registry.hello", &body(&hello(&changed, Some(&victim.key))))
        .await;
    assert_eq!(listed(&realm, &victim.session_tag).await, Some(json!({ "own": 1 })));
    realm
        .publish("registry.goodbye", &signed_goodbye(&victim, Some(&victim.key)))
        .await;
    assert_eq!(listed(&realm, &victim.session_tag).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_hellos_and_goodbyes_do_nothing() {
    let mut realm = Realm::start().await;
    let peer = realm.peer("peer", SigningScope::ALL).await;
    let first = body(&hello(&info(&peer, &json!({ "v": 1 }), -50), Some(&peer.key)));
    let later = body(&hello(&info(&peer, &json!({ "v": 2 }), 0), Some(&peer.key)));
    for hello in [&first, &later, &first] {
        realm.publish("registry.hello", hello).await;
    }
    assert_eq!(
        listed(&realm, &peer.session_tag).await,
        Some(json!({ "v": 2 })),
        "the older one is no news"
    );

    // After its goodbye a session is gone for good, here and at a registry that comes later.
    let goodbye = body(&presence_auth::goodbye(&goodbye(&peer), Some(&peer.key)));
    realm.publish("registry.goodbye", &goodbye).await;
    assert_eq!(listed(&realm, &peer.session_tag).await, None);
    let future = body(&hello(&info(&peer, &json!({ "v": 3 }), 60_000), Some(&peer.key)));
    for hello in [&first, &later, &future] {
        realm.publish("registry.hello", hello).await;
        assert_eq!(listed(&realm, &peer.session_tag).await, None);
    }
    realm.stop_registry().await;
    realm.registry = Some(realm.another_registry("registry").await);
    for hello in [&first, &later] {
        realm.publish("registry.hello", hello).await;
        assert_eq!(listed(&realm, &peer.session_tag).await, None);
    }
    // A goodbye ends the session that it names and no later one.
    let again = realm.peer("peer", SigningScope::ALL).await;
    realm.publish("registry.goodbye", &goodbye).await;
    assert!(listed(&realm, &again.session_tag).await.is_some());
}

/// What nodes say themselves, recorded from the wire.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_goes_and_comes_back() {
    let mut realm = Realm::start().await;
    let wire = realm.capture("registry.*").await;
    let node = realm.agent("node").start().await.unwrap();
    let tag = |node: &AgentNode| node.session_tag().unwrap();
    let first = tag(&node);
    let said = |subject: &'static str, tag: String| {
        move |seen: &agentnet_testkit::Captured| {
            seen.subject == subject && parse(&seen.payload)["session_tag"] == tag.as_str()
        }
    };
    let hello = wire
        .wait_for(said("registry.hello", first.clone()), DEADLINE)
        .await
        .unwrap();
    // A registry that did not issue the session takes it over by its hellos.
    realm.stop_registry().await;
    realm.registry = Some(realm.another_registry("later").await);
    eventually_true(DEADLINE, "it is online", async || {
        listed(&realm, &first).await.is_some()
    })
    .await
    .unwrap();
    node.close().await;
    let goodbye = wire
        .wait_for(said("registry.goodbye", first.clone()), DEADLINE)
        .await
        .unwrap();
    assert_eq!(listed(&realm, &first).await, None);
    realm.publish("registry.hello", &parse(&hello.payload)).await;
    assert_eq!(listed(&realm, &first).await, None);
    node.start().await.unwrap();
    let second = tag(&node);
    realm.publish("registry.goodbye", &parse(&goodbye.payload)).await;
    assert!(listed(&realm, &second).await.is_some());
    node.close().await;
    assert_eq!(listed(&realm, &second).await, None);
}

/// Sessions of the original sign neither: theirs are taken as they are, for sessions that were issued.
#[tokio::test(flavor = "multi_thread")]
async fn agents_that_cannot_sign_presence_come_and_go() {
    let realm = Realm::start().await;
    let python = realm.peer("python", SigningScope::default()).await;
    let unsigned = body(&hello(&info(&python, &json!({ "v": 1 }), -100_000_000), None));
    realm.publish("registry.hello", &unsigned).await;
    assert_eq!(listed(&realm, &python.session_tag).await, Some(json!({ "v": 1 })));
    // Beside a session of the same account that signs.
    let beside = realm.peer("python", SigningScope::ALL).await;
    realm
        .publish("registry.goodbye", &json!({ "session_tag": beside.session_tag }))
        .await;
    assert_eq!(realm.online().await.len(), 2);
    realm
        .publish("registry.goodbye", &json!({ "session_tag": python.session_tag }))
        .await;
    assert_eq!(realm.online().await.len(), 1);
}

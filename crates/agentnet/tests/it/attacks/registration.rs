//! Registrations that are not what they say.

use agentnet::SigningKey;
use agentnet::protocol::claims::Claims;
use agentnet::protocol::signing_scope::SigningScope;
use agentnet_testkit::eventually_true;
use serde_json::{Value, json};

use crate::attacks::harness::*;
use crate::net::{DEADLINE, parse};

/// The request is refused with this code, and accounts and sessions are what they were.
async fn refused(realm: &Realm, what: &str, request: &Value, code: &str) {
    let (accounts, online) = (realm.accounts().await, realm.online().await);
    let reply = realm.ask("register", request).await;
    assert_eq!(reply, json!({ "error": code }), "{what}");
    assert_eq!(realm.accounts().await, accounts, "{what}");
    assert_eq!(realm.online().await, online, "{what}");
}

fn auth(key: &SigningKey, claims: &Claims) -> Value {
    parse(key.auth(claims).get().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_account_belongs_to_its_key() {
    let realm = Realm::start().await;
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let thief = SigningKey::from_seed(&[66; 32]);
    let mut by_name = registration("alice", &thief, SigningScope::ALL);
    by_name["capabilities"] = json!(["steal"]);
    by_name["metadata"] = json!({ "evil": true });
    refused(&realm, "by its name", &by_name, "auth_public_key_mismatch").await;

    // By its id, with another name and another username.
    let claims = agentnet::protocol::register_auth::claims(
        "x",
        "Evil Twin",
        Some("mallory"),
        Some(&alice.account_id),
        std::time::SystemTime::now().into(),
        "n1",
    );
    let by_id = json!({
        "agent_id": "x", "name": "Evil Twin", "username": "mallory", "account_id": alice.account_id,
        "auth": auth(&thief, &claims),
    });
    refused(&realm, "by its id", &by_id, "auth_public_key_mismatch").await;

    // By an agent id that makes its name.
    let claims = agentnet::protocol::register_auth::claims(
        "Alice",
        "Alice",
        None,
        None,
        std::time::SystemTime::now().into(),
        "n2",
    );
    let derived = json!({ "agent_id": "Alice", "name": "Alice", "auth": auth(&thief, &claims) });
    refused(&realm, "by its agent id", &derived, "auth_public_key_mismatch").await;

    // The owner still comes in, with the key alone.
    realm.peer("alice", SigningScope::ALL).await;
    assert_eq!(realm.online().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_old_and_future_registrations_are_refused() {
    let realm = Realm::start().await;
    let second = realm.another_registry("second").await;
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let recorded = registration("alice", &alice.key, SigningScope::ALL);
    let announced = realm.capture("agentnet.registry.announce").await;
    assert_eq!(realm.ask("register", &recorded).await.get("error"), None);
    announced
        .wait_for(|seen| parse(&seen.payload).get("nonce").is_some(), DEADLINE)
        .await
        .unwrap();
    // Whichever registry it comes to.
    for round in 0..20 {
        refused(&realm, &format!("replay {round}"), &recorded, "auth_nonce_replayed").await;
    }
    second.shutdown().await;
    for (what, millis, code) in [
        ("old", -121_000, "auth_claims_timestamp_skew"),
        ("very old", -100_000_000_000, "auth_claims_timestamp_skew"),
        ("future", 122_000, "auth_claims_timestamp_skew"),
    ] {
        let mut request = registration("alice", &alice.key, SigningScope::ALL);
        request["auth"] = auth(&alice.key, &register_claims("alice", millis));
        refused(&realm, what, &request, code).await;
    }
}

/// An error, and the changes to a registration by alice that lead to it: name, place and new value.
type Changes = (&'static str, Vec<(&'static str, &'static str, Value)>);

/// Changes to the `auth` of a registration, except to its claims.
fn changes_of_auth(other: &SigningKey) -> Vec<Changes> {
    let large = "A".repeat(400_000);
    vec![
        (
            "auth_required",
            vec![
                ("none", "/auth", Value::Null),
                ("a text", "/auth", json!("x")),
                ("a number", "/auth", json!(1)),
                ("a list", "/auth", json!([{}])),
            ],
        ),
        (
            "auth_scheme_invalid",
            vec![
                ("empty", "/auth", json!({})),
                ("no scheme", "/auth/scheme", json!("none")),
                ("padded scheme", "/auth/scheme", json!(" dev-ed25519-v1")),
            ],
        ),
        (
            "auth_payload_invalid",
            vec![
                ("blank key", "/auth/public_key", json!(" ")),
                ("blank signature", "/auth/signature", json!("")),
                ("null signature", "/auth/signature", Value::Null),
                ("claims are a list", "/auth/claims", json!([])),
                ("claims are a text", "/auth/claims", json!("{}")),
            ],
        ),
        (
            "auth_signature_invalid",
            vec![
                ("another nonce", "/auth/claims/nonce", json!("n")),
                ("other signs", "/auth/claims/signs", json!("receipts")),
                (
                    "another's signature",
                    "/auth/signature",
                    json!(other.sign(&register_claims("alice", 0))),
                ),
                ("another's key", "/auth/public_key", json!(other.public_text())),
                ("a weak key", "/auth/public_key", json!("A".repeat(43))),
                ("no base64", "/auth/signature", json!("é!")),
                ("a short signature", "/auth/signature", json!("AAAA")),
                ("a large signature", "/auth/signature", json!(large)),
                ("a large key", "/auth/public_key", json!(large)),
            ],
        ),
    ]
}

/// Changes to the claims in `auth` that are found before the signature is checked.
fn changes_of_claims() -> Vec<Changes> {
    vec![
        (
            "auth_claims_invalid",
            vec![
                ("no claims", "/auth/claims", json!({})),
                ("no nonce", "/auth/claims/nonce", json!(" ")),
            ],
        ),
        (
            "auth_claims_agent_mismatch",
            vec![("another agent", "/auth/claims/agent_id", json!("bob"))],
        ),
        (
            "auth_claims_name_mismatch",
            vec![("another name", "/auth/claims/name", json!("Bob"))],
        ),
        (
            "auth_claims_username_mismatch",
            vec![("another username", "/auth/claims/username", json!("bob"))],
        ),
        (
            "auth_claims_account_mismatch",
            vec![("another account", "/auth/claims/account_id", json!("acct_b"))],
        ),
        (
            "auth_claims_timestamp_invalid",
            vec![
                ("no time", "/auth/claims/timestamp", json!("soon")),
                ("year 0", "/auth/claims/timestamp", json!("0000-01-01T00:00:00Z")),
            ],
        ),
        (
            "nonce has 400000 bytes; at most 256 are allowed",
            vec![("a large claim", "/auth/claims/nonce", json!("A".repeat(400_000)))],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_oversized_auth_is_refused() {
    let realm = Realm::start().await;
    realm.peer("bystander", SigningScope::ALL).await;
    let key = SigningKey::from_seed(&[9; 32]);
    let other = SigningKey::from_seed(&[10; 32]);
    let good = || registration("alice", &key, SigningScope::ALL);
    for (code, changes) in changes_of_auth(&other).into_iter().chain(changes_of_claims()) {
        for (what, pointer, value) in changes {
            let mut request = good();
            *request.pointer_mut(pointer).unwrap() = value;
            refused(&realm, what, &request, code).await;
        }
    }
    // Signed by its own key, but nested deeper than any reader accepts.
    let deep = format!(
        r#"{{"agent_id":"alice","auth":{}1{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let reply = realm.raw.request("registry.register", deep.into()).await.unwrap();
    assert!(parse(&reply.payload)["error"].is_string());
    // The same without a change is taken.
    assert_eq!(realm.ask("register", &good()).await.get("error"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_becomes_a_registry() {
    let realm = Realm::start().await;
    for (account_id, code) in [
        ("acct_registry_registry", "account_id is invalid"),
        ("acct_registry_new", "account_id is invalid"),
    ] {
        let mut request = registration("mallory", &SigningKey::from_seed(&[5; 32]), SigningScope::ALL);
        request["account_id"] = json!(account_id);
        refused(&realm, account_id, &request, code).await;
    }
    // Its name leads to its account, which has a key.
    let by_name = registration("registry_registry", &SigningKey::from_seed(&[5; 32]), SigningScope::ALL);
    refused(&realm, "by name", &by_name, "auth_public_key_mismatch").await;
    // It can be resolved, but no search finds it.
    let key = realm
        .ask("resolve_key", &json!({ "account_id": "acct_registry_registry" }))
        .await;
    assert!(key["public_key"].is_string(), "{key}");
    assert_eq!(realm.ask("search", &json!({})).await["results"], json!([]));
}

/// Two who register one new name at the same moment with different keys: one of them has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_race_for_a_name_has_one_winner() {
    let realm = Realm::start().await;
    let mut winners = Vec::new();
    let requests = (0..20).map(|number| {
        let key = SigningKey::from_seed(&[number; 32]);
        let request = registration("prize", &key, SigningScope::ALL);
        let realm = &realm;
        async move { (key, realm.ask("register", &request).await) }
    });
    for (key, reply) in futures::future::join_all(requests).await {
        match reply["error"].as_str() {
            None => winners.push(key),
            Some(code) => assert_eq!(code, "auth_public_key_mismatch"),
        }
    }
    assert_eq!(winners.len(), 1);
    let bound = realm.store.account_by_username("prize").await.unwrap().unwrap();
    assert_eq!(bound.public_key.as_deref(), Some(winners[0].public_text()));
    eventually_true(DEADLINE, "one session", async || realm.online().await.len() == 1)
        .await
        .unwrap();
}

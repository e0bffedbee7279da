//! What a JWT grants is what the permissions say, whatever the names are.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::nkey::Nkey;
use crate::permissions::{Grant, Role, permissions};

fn key(kind: KeyKind, seed: u8) -> NatsKey {
    NatsKey::from_seed(kind, &[seed; 32])
}

fn claims<'a>(subject: &'a str, name: &'a str) -> Claims<'a> {
    Claims {
        subject,
        audience: None,
        name,
        issued_at: 1_700_000_000,
        expires_at: Some(1_700_086_400),
    }
}

fn rights(permissions: &Permissions) -> UserRights<'_> {
    UserRights {
        permissions,
        transports: &[Transport::Standard],
        subscriptions: Some(100),
        issuer_account: None,
    }
}

fn texts(object: &Object<'_>, list: &str, member: &str) -> Vec<String> {
    let list = object.get(list).as_object().unwrap();
    let Some(items) = list.get(member).as_array() else {
        return Vec::new();
    };
    items.map(|item| item.as_str().unwrap().into_owned()).collect()
}

#[test]
fn a_users_jwt_says_what_it_may_do() {
    let signer = key(KeyKind::Account, 1);
    let nkey = Nkey::from_seed(&[2; 32]).public();
    let lists = Permissions {
        publish: vec!["a.*.b".into(), "c.>".into()],
        subscribe: vec!["d group".into()],
    };
    let token = user(&claims(&nkey, "alice"), &rights(&lists), &signer).unwrap();
    assert!(has_form(&token) && !has_form("a.b") && !has_form("a.b.c\n") && !has_form("a..c"));
    let read = VerifiedJwt::read(&token).unwrap();
    assert_eq!(peek(&token).as_ref(), Some(&read));
    assert_eq!((read.issuer.as_str(), &read.subject), (signer.public().as_str(), &nkey));
    assert_eq!((read.issued_at, read.expires_at), (1_700_000_000, Some(1_700_086_400)));
    let nats = read.nats().unwrap();
    assert_eq!(texts(&nats, "pub", "allow"), lists.publish);
    assert_eq!(texts(&nats, "sub", "allow"), lists.subscribe);
    assert_eq!(nats.get("allowed_connection_types").raw(), r#"["STANDARD"]"#);
    assert!(nats.get("resp").is_null() && nats.get("bearer_token").is_null());
    // What is to connect in no way is of a type that no server has; without a type, all would do.
    let none = UserRights {
        transports: &[],
        ..rights(&lists)
    };
    let token = user(&claims(&nkey, ""), &none, &signer).unwrap();
    let types = VerifiedJwt::read(&token).unwrap();
    assert_eq!(
        types.nats().unwrap().get("allowed_connection_types").raw(),
        r#"["NONE"]"#
    );
}

#[test]
fn changed_and_foreign_jwts_are_refused() {
    let signer = key(KeyKind::Account, 1);
    let nkey = Nkey::from_seed(&[2; 32]).public();
    let lists = Permissions::default();
    let token = user(&claims(&nkey, "alice"), &rights(&lists), &signer).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let with_payload = |payload: &str| format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(payload), parts[2]);
    let with_header = |header: &str| format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header), parts[1], parts[2]);
    for (bad, expected) in [
        (with_payload(&payload.replace("alice", "mallo")), JwtError::Signature),
        (
            with_payload(&payload.replace("\"version\":2", "\"version\":1")),
            JwtError::Header,
        ),
        (
            with_payload(&payload.replace("\"iss\"", "\"is\"")),
            JwtError::Member("iss"),
        ),
        (
            with_payload(&payload.replace("1700086400", "\"1\"")),
            JwtError::Member("exp"),
        ),
        (with_payload("[]"), JwtError::Form),
        (with_header(r#"{"typ":"JWT","alg":"none"}"#), JwtError::Header),
        (with_header(r#"{"typ":"JWT","alg":"ed25519"}"#), JwtError::Header),
        (format!("{}.{}.", parts[0], parts[1]), JwtError::Signature),
        (format!("{}.{}", parts[0], parts[1]), JwtError::Form),
        (token.replace('.', ".."), JwtError::Form),
        (format!("{token}="), JwtError::Form),
        ("é.é.é".into(), JwtError::Form),
        ("a".repeat(MAX_JWT_BYTES + 1), JwtError::Form),
    ] {
        assert_eq!(VerifiedJwt::read(&bad), Err(expected), "{bad:.80}");
    }
    let wrong = user(&claims(&nkey, ""), &rights(&lists), &key(KeyKind::Operator, 1));
    assert_eq!(wrong, Err(JwtError::Signer(KeyKind::Account)));
    for subject in ["", "alice", &key(KeyKind::Account, 1).public(), &nkey.to_lowercase()] {
        let wrong = user(&claims(subject, ""), &rights(&lists), &signer);
        assert_eq!(wrong, Err(JwtError::Subject(KeyKind::User)), "{subject}");
    }
}

#[test]
fn revocations_are_added_and_the_rest_stays() {
    let operator = key(KeyKind::Operator, 3);
    let account_key = key(KeyKind::Account, 1).public();
    let signing = [key(KeyKind::Account, 2).public()];
    let token = account(&claims(&account_key, "AGENTNET"), &signing, true, &operator).unwrap();
    let first = VerifiedJwt::read(&token).unwrap();
    let revoked = |pairs: &[(&str, i64)]| -> BTreeMap<String, i64> {
        pairs.iter().map(|(key, until)| ((*key).to_owned(), *until)).collect()
    };
    let again = |jwt: &VerifiedJwt, revocations: &[(&str, i64)], at: i64| {
        with_revocations(jwt, &revoked(revocations), at, &operator).unwrap()
    };
    let second = again(&first, &[("UA", 10), ("UB", 20)], 1_700_000_001).unwrap();
    let second = VerifiedJwt::read(&second).unwrap();
    assert_eq!(second.issued_at, 1_700_000_001);
    let (before, after) = (first.nats().unwrap(), second.nats().unwrap());
    assert_eq!(before.get("limits").raw(), after.get("limits").raw());
    assert_eq!(before.get("signing_keys").raw(), after.get("signing_keys").raw());
    assert_eq!(after.get("revocations").raw(), r#"{"UA":10,"UB":20}"#);
    assert_eq!(second.claims().unwrap().get("name").raw(), r#""AGENTNET""#);
    assert_ne!(
        first.claims().unwrap().get("jti").raw(),
        second.claims().unwrap().get("jti").raw()
    );
    // Others' stay, none moves back, and nothing new is no change.
    assert_eq!(again(&second, &[("UA", 5), ("UB", 20)], 1_700_000_002), None);
    let third = VerifiedJwt::read(&again(&second, &[("UC", 1), ("UB", 21)], 1_700_000_002).unwrap()).unwrap();
    assert_eq!(
        third.nats().unwrap().get("revocations").raw(),
        r#"{"UA":10,"UB":21,"UC":1}"#
    );
    let wrong = with_revocations(&first, &revoked(&[("UA", 1)]), 0, &key(KeyKind::Account, 1));
    assert_eq!(wrong, Err(JwtError::Signer(KeyKind::Operator)));
}

/// A request as a server makes it, with a change of its connect options.
fn request(change: impl FnOnce(&mut BTreeMap<&'static str, String>)) -> String {
    let server = key(KeyKind::Server, 5);
    let nkey = Nkey::from_seed(&[2; 32]);
    let nonce = "S7sX0BWYrrvBfCc";
    let mut texts = BTreeMap::from([
        ("id", server.public()),
        ("user_nkey", key(KeyKind::User, 6).public()),
        ("nonce", nonce.to_owned()),
        ("nkey", nkey.public()),
        ("sig", URL_SAFE_NO_PAD.encode(nkey.sign(nonce.as_bytes()))),
        ("aud", AUDIENCE.to_owned()),
    ]);
    change(&mut texts);
    let mut nats = ObjectWriter::new();
    let mut server_id = ObjectWriter::new();
    nats.raw(
        "server_id",
        &server_id.text("name", "n").text("id", &texts["id"]).finish(),
    );
    let mut client = ObjectWriter::new();
    let client = client
        .int("id", 7)
        .text("type", "nats")
        .text("nonce", &texts["nonce"])
        .finish();
    let mut options = ObjectWriter::new();
    let options = options.text("nkey", &texts["nkey"]).text("sig", &texts["sig"]).finish();
    nats.text("user_nkey", &texts["user_nkey"])
        .raw("client_info", &client)
        .raw("connect_opts", &options);
    let subject = key(KeyKind::Account, 1).public();
    let claims = Claims {
        audience: Some(&texts["aud"]),
        ..claims(&subject, "")
    };
    signed(&claims, &mut nats, "authorization_request", &server)
}

const AUDIENCE: &str = "nats-authorization-request";

#[test]
fn a_callout_checks_that_the_client_holds_its_key() {
    let good = authorization_request(&request(|_| {})).unwrap();
    assert_eq!(good.nkey, Nkey::from_seed(&[2; 32]).public());
    assert_eq!((good.connection, good.transport.as_str()), (7, "nats"));
    let other = Nkey::from_seed(&[3; 32]);
    let refused = |member: &'static str, value: String| {
        authorization_request(&request(|texts| {
            texts.insert(member, value);
        }))
        .unwrap_err()
    };
    assert_eq!(refused("nkey", String::new()), CalloutError::NoKey);
    // Another's key, with the own signature; and the own signature of another nonce.
    assert_eq!(refused("nkey", other.public()), CalloutError::Signature);
    assert_eq!(refused("nonce", "S7sX0BWYrrvBfCd".into()), CalloutError::Signature);
    for signature in ["", "AAAA", "é", &"A".repeat(86)] {
        assert_eq!(refused("sig", signature.into()), CalloutError::Signature, "{signature}");
    }
    assert_eq!(
        refused("nkey", key(KeyKind::Account, 2).public()),
        CalloutError::Signature
    );
    for (member, value) in [
        ("id", key(KeyKind::Server, 9).public()),
        ("id", "n".into()),
        ("user_nkey", "U".into()),
        ("user_nkey", key(KeyKind::Account, 2).public()),
        ("aud", "other".into()),
    ] {
        let error = refused(member, value);
        assert!(
            matches!(error, CalloutError::Request(JwtError::Member(_))),
            "{member}: {error}"
        );
    }
    let signer = key(KeyKind::Account, 1);
    let user = user(&claims(&good.user, ""), &rights(&Permissions::default()), &signer).unwrap();
    let other_type = authorization_request(&user).unwrap_err();
    assert_eq!(
        other_type,
        CalloutError::Request(JwtError::Type("authorization_request"))
    );

    let answer = authorization_response(&good, Ok(&user), 5, &signer).unwrap();
    let answer = VerifiedJwt::read(&answer).unwrap();
    assert_eq!(answer.subject, good.user);
    assert_eq!(answer.claims().unwrap().get("aud").as_str().unwrap(), good.server);
    assert_eq!(answer.nats().unwrap().get("jwt").as_str().unwrap(), user);
    let refusal = authorization_response(&good, Err("no member"), 5, &signer).unwrap();
    let refusal = VerifiedJwt::read(&refusal).unwrap();
    assert_eq!(refusal.nats().unwrap().get("error").raw(), r#""no member""#);
    assert!(refusal.nats().unwrap().get("jwt").is_null());
}

/// A server with the defaults lets every role in: their lines are short enough, a registry's too.
#[test]
fn the_jwts_of_all_roles_fit_into_a_line() {
    let signer = key(KeyKind::Account, 1);
    let nkey = Nkey::from_seed(&[2; 32]).public();
    let account = signer.public();
    let capabilities: Vec<String> = (0..8).map(|number| format!("capability-{number}")).collect();
    for &role in Role::ALL {
        let (account_id, capabilities) = match role {
            Role::Registry => ("acct_registry_registry", &[][..]),
            Role::Agent => ("acct_01ka8h2m1q6w3f9x4r7t2y5z8b", capabilities.as_slice()),
            _ => ("acct_01ka8h2m1q6w3f9x4r7t2y5z8b", &[][..]),
        };
        let lists = permissions(&Grant {
            role,
            account_id,
            capabilities,
            may_send_to: None,
        });
        let lists = lists.unwrap();
        let rights = UserRights {
            issuer_account: Some(&account),
            ..rights(&lists)
        };
        let token = user(&claims(&nkey, account_id), &rights, &signer).unwrap();
        let line = token.len() + CONNECT_OVERHEAD_BYTES;
        println!(
            "{role:?}: {} bytes, {} subjects",
            token.len(),
            lists.publish.len() + lists.subscribe.len()
        );
        assert!(line <= DEFAULT_CONTROL_LINE_BYTES, "{role:?}: {}", token.len());
    }
}

proptest! {
    /// Whatever the names are, the JWT grants the lists of the permissions and nothing else.
    #[test]
    fn no_name_widens_a_jwt(
        own in "\\PC{0,8}|[a-z*>.{} \"\\n$,:]{0,6}|[a-z]{1,8}",
        capability in "\\PC{0,8}|[a-z*>.{} \"\\n$,:]{0,6}|[a-z]{1,8}",
        target in "\\PC{0,8}|(capability:)?[a-z*>.{} \"\\n$]{0,6}|[a-z]{1,8}",
        name in ".{0,24}",
        role in proptest::sample::select(Role::ALL),
    ) {
        let capabilities = [capability];
        let targets = [target];
        let grant = Grant { role, account_id: &own, capabilities: &capabilities, may_send_to: Some(&targets) };
        let Ok(lists) = permissions(&grant) else { return Ok(()) };
        let nkey = Nkey::from_seed(&[2; 32]).public();
        let token = user(&claims(&nkey, &name), &rights(&lists), &key(KeyKind::Account, 1)).unwrap();
        let read = VerifiedJwt::read(&token).unwrap();
        let nats = read.nats().unwrap();
        for (member, expected) in [("pub", &lists.publish), ("sub", &lists.subscribe)] {
            let denied: &[&str] = if expected.is_empty() { &[">"] } else { &[] };
            prop_assert_eq!(&texts(&nats, member, "allow"), expected);
            prop_assert_eq!(texts(&nats, member, "deny"), denied);
        }
        let names: Vec<String> = nats.iter().map(|(name, _)| name.as_str().unwrap().into_owned()).collect();
        prop_assert_eq!(names, ["pub", "sub", "subs", "data", "payload", "allowed_connection_types", "type", "version"]);
        let claims = read.claims().unwrap();
        let shown = claims.get("name").as_str().map(|name| name.into_owned());
        prop_assert_eq!(shown.unwrap_or_default(), name);
    }

    /// No text makes a reader panic.
    #[test]
    fn any_text_is_read_or_refused(token in "\\PC{0,64}|[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,20}", json in "\\PC{0,64}|\\{\"nats\":\\{\"version\":2,\"revocations\":[0-9\\[\\]{}]{0,6}\\},\"iss\":\"a\",\"sub\":\"b\"\\}") {
        let _ = VerifiedJwt::read(&token);
        let _ = authorization_request(&token);
        let _ = peek(&token);
        let _ = NatsKey::read_seed(&token);
        let _ = nats_key::kind_of(&token);
        let _ = nats_key::Credentials::parse(&token);
        let signed = sign(&json, &key(KeyKind::Operator, 1));
        if let Ok(read) = VerifiedJwt::read(&signed) {
            let _ = with_revocations(&read, &BTreeMap::new(), 0, &key(KeyKind::Operator, 1));
        }
        let _ = authorization_request(&signed);
    }
}

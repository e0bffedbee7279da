//! JWTs of NATS in operator mode, and callouts (section 23.8).

use agentnet_protocol::hex;
use agentnet_protocol::nats_jwt::{
    CalloutError, Claims, JwtError, Transport, UserRights, VerifiedJwt, authorization_request, user,
};
use agentnet_protocol::nats_key::{KeyKind, NatsKey, kind_of};
use agentnet_protocol::permissions::Permissions;

use crate::loader::{Case, check_each};

fn seed(case: &Case<'_>, member: &str) -> [u8; 32] {
    let bytes = hex::decode(case.text(member)).expect("the case has hexadecimal digits");
    bytes.try_into().expect("the case has 32 bytes")
}

fn texts(case: &Case<'_>, member: &str) -> Vec<String> {
    let items = case.get(member).as_array().expect("an array");
    let text = |item: &serde_json::Value| item.as_str().expect("the items are texts").to_owned();
    items.iter().map(text).collect()
}

#[test]
fn nats_jwts() {
    check_each("nats_jwts", |case| {
        if case.has("kind") {
            check_key(&case);
        } else if case.has("token") {
            assert_eq!(token(&case), case.text("token"));
            let read = VerifiedJwt::read(case.text("token")).expect("the JWT is read");
            assert_eq!(read.subject, case.text("subject"));
            assert_eq!(read.expires_at, case.get("expires_at").as_i64());
        } else if case.has("refused") {
            let error = VerifiedJwt::read(case.text("refused")).expect_err("the JWT is refused");
            assert_eq!(code(&error), case.text("error"));
        } else {
            check_callout(&case);
        }
    });
}

fn check_key(case: &Case<'_>) {
    let kind = match case.text("kind") {
        "operator" => KeyKind::Operator,
        "account" => KeyKind::Account,
        "user" => KeyKind::User,
        "server" => KeyKind::Server,
        other => panic!("no such kind: {other}"),
    };
    let key = NatsKey::from_seed(kind, &seed(case, "seed"));
    assert_eq!(key.public(), case.text("public"));
    assert_eq!(key.seed_text(), case.text("seed_text"));
    assert_eq!(kind_of(case.text("public")), Some(kind));
    let read = NatsKey::read_seed_of(kind, case.text("seed_text")).expect("the seed is read");
    assert_eq!(read.public(), case.text("public"));
}

fn token(case: &Case<'_>) -> String {
    let permissions = Permissions {
        publish: texts(case, "publish"),
        subscribe: texts(case, "subscribe"),
    };
    let transports: Vec<Transport> = texts(case, "transports")
        .iter()
        .map(|text| match text.as_str() {
            "STANDARD" => Transport::Standard,
            "WEBSOCKET" => Transport::Websocket,
            other => panic!("no such type: {other}"),
        })
        .collect();
    let claims = Claims {
        subject: case.text("subject"),
        audience: case.opt_text("audience"),
        name: case.text("name"),
        issued_at: case.get("issued_at").as_i64().expect("a time"),
        expires_at: case.get("expires_at").as_i64(),
    };
    let subscriptions = case.get("subscriptions").as_u64();
    let rights = UserRights {
        permissions: &permissions,
        transports: &transports,
        subscriptions: subscriptions.map(|count| u32::try_from(count).expect("a small number")),
        issuer_account: case.opt_text("issuer_account"),
    };
    let signer = NatsKey::from_seed(KeyKind::Account, &seed(case, "signer_seed"));
    user(&claims, &rights, &signer).expect("the JWT is made")
}

fn code(error: &JwtError) -> &'static str {
    match error {
        JwtError::Form => "form",
        JwtError::Header => "header",
        JwtError::Member(_) => "member",
        JwtError::Signature => "signature",
        JwtError::Type(_) => "type",
        other => panic!("{other}"),
    }
}

fn check_callout(case: &Case<'_>) {
    let request = authorization_request(case.text("request"));
    if let Some(expected) = case.opt_text("error") {
        let found = match request.expect_err("nobody gets in") {
            CalloutError::Request(error) => code(&error),
            CalloutError::NoKey => "no_key",
            CalloutError::Signature => "signature",
            other => panic!("{other}"),
        };
        assert_eq!(found, expected);
        return;
    }
    let request = request.expect("the request is read");
    assert_eq!(request.server, case.text("server"));
    assert_eq!(request.user, case.text("user"));
    assert_eq!(request.nkey, case.text("nkey"));
    assert_eq!(Some(request.connection), case.get("connection").as_u64());
}

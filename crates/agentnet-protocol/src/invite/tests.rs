//! What comes back of an invite's text, and which texts are refused.

use super::*;

fn invite() -> Invite {
    Invite {
        urls: vec!["tls://nats.example.com:4222".to_owned()],
        ca_pem: Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned()),
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        role: Role::Agent,
        invite_id: "inv_1".to_owned(),
        secret: [1; 16],
        join_seed: [2; 32],
        join_jwt: None,
        expires_at: Timestamp::parse("2026-02-22T08:00:00Z").unwrap(),
    }
}

#[test]
fn an_invite_reads_back() {
    let text = invite().encode();
    assert!(text.starts_with("agentnet-join1."));
    assert_eq!(Invite::decode(&format!(" \n{text}\t\r\n")), Ok(invite()));
    let plain = Invite {
        ca_pem: None,
        ..invite()
    };
    assert_eq!(Invite::decode(&plain.encode()), Ok(plain));
    let with_jwt = |jwt: &str| Invite {
        join_jwt: Some(jwt.to_owned()),
        ..invite()
    };
    assert_eq!(
        Invite::decode(&with_jwt("eyJ0.eyJ1.AA").encode()),
        Ok(with_jwt("eyJ0.eyJ1.AA"))
    );
    for bad in ["", "a.b", "a.b.c\n", "a.b.c.d", "a.\".c"] {
        let refused = Invite::decode(&with_jwt(bad).encode());
        assert_eq!(refused, Err(InviteError::Member("join_jwt")), "{bad:?}");
    }
}

#[test]
fn the_debug_text_hides_the_secrets() {
    let text = format!("{:?}", invite());
    assert!(!text.contains("secret") && !text.contains("seed"), "{text}");
}

proptest::proptest! {
    /// Invites are pasted by people: any text gives an invite or an error.
    #[test]
    fn any_text_is_read_without_a_panic(text in "(agentnet-join[0-9]*\\.?)?\\PC{0,64}", json in "\\PC{0,64}") {
        let _ = Invite::decode(&text);
        let _ = Invite::decode(&format!("agentnet-join1.{}", URL_SAFE_NO_PAD.encode(json)));
    }
}

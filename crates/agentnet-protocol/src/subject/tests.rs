use super::*;

#[test]
fn subjects_parse_back() {
    for (text, expected) in [
        (
            "account.acct_1.inbox",
            Some(Subject::Inbox {
                account_id: "acct_1",
                issuer: None,
            }),
        ),
        (
            "account.acct_1.receipts",
            Some(Subject::Receipts {
                account_id: "acct_1",
                issuer: None,
            }),
        ),
        (
            "agent.capability.chat",
            Some(Subject::Capability {
                capability: "chat",
                issuer: None,
            }),
        ),
        (
            "registry.hello",
            Some(Subject::Registry {
                name: "hello",
                issuer: None,
            }),
        ),
        ("_INBOX.x.1", Some(Subject::Reply)),
        ("agentnet.reply.acct_1.7", Some(Subject::Reply)),
        ("account.a.b.inbox", None),
        ("agentnet.reply", None),
        ("_INBOX.", None),
        ("other", None),
        (
            "agent.capability.",
            Some(Subject::Capability {
                capability: "",
                issuer: None,
            }),
        ),
        ("registry.", None),
        ("registry", None),
    ] {
        assert_eq!(Subject::parse(text), expected, "{text}");
    }
}

#[test]
fn a_reply_to_member_must_be_a_reply_subject() {
    for subject in [
        "account.a.inbox",
        "account.a.receipts",
        "registry.register",
        "_INBOX.*",
        "_INBOX.a b",
        "_INBOXx.a",
        "_INBOX..a",
        "",
    ] {
        assert!(!is_reply_subject(subject), "{subject}");
    }
    assert!(is_reply_subject("_INBOX.abc"));
    assert!(is_reply_subject("agentnet.reply.acct_1.abc"));
}

#[test]
fn nothing_is_answered_on_subjects_of_the_server_of_agents_and_of_registries() {
    for subject in [
        "$JS.API.STREAM.PURGE.AGENTNET_HISTORY",
        "$SYS.REQ.SERVER.PING",
        "account.acct_1.inbox",
        "account.acct_1.receipts",
        "agent.capability.chat",
        "registry.hello",
        "agentnet.registry.announce",
        "agentnet.events.acct_1.mailbox",
    ] {
        assert!(!may_reply_to(subject), "{subject}");
    }
    for subject in [
        "_INBOX.abc.1",
        "_AGENTNET.abc.1",
        "agentnet.reply.acct_1.abc.0",
        "my.own.inbox",
    ] {
        assert!(may_reply_to(subject), "{subject}");
    }
}

#[test]
fn headers_that_steer_the_server_are_told_from_others() {
    for (name, steers) in [
        ("Nats-Expected-Stream", true),
        ("nats-msg-id", true),
        ("NATS-TTL", true),
        ("traceparent", false),
        ("Natsy", false),
        ("é-Nats-", false),
        ("", false),
    ] {
        assert_eq!(is_server_header(name), steers, "{name}");
    }
}

#[test]
fn capabilities_that_would_change_the_subject_are_not_routed() {
    let long = "a".repeat(MAX_ROUTABLE_BYTES + 1);
    assert!(routable_capability(&long[1..]) && routable_account(&long[1..]));
    assert!(!routable_capability(&long) && !routable_account(&long));
    for capability in ["", "a b", "a.b", "*", ">", "a\u{0}"] {
        assert!(!routable_capability(capability), "{capability:?}");
    }
    assert!(routable_capability("chat"));
    assert!(routable_capability("résumé"));
}

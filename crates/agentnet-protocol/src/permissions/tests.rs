//! No permission reaches beyond its account, whatever the ids are. The exact lists are in `spec/vectors/permissions.json`.

use proptest::prelude::*;

use super::*;

/// Whether a permission, without its queue group, covers a subject.
fn covers(permission: &str, subject: &str) -> bool {
    let pattern = permission.split(' ').next().unwrap_or_default();
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn any_covers(permissions: &[String], subject: &str) -> bool {
    permissions.iter().any(|permission| covers(permission, subject))
}

fn agent_lists(own: &str, capabilities: &[String], may_send_to: Option<&[String]>) -> Permissions {
    permissions(&Grant {
        role: Role::Agent,
        account_id: own,
        capabilities,
        may_send_to,
    })
    .unwrap()
}

/// Account ids, short ones too, so that one is often the beginning of another.
fn account() -> impl Strategy<Value = String> {
    "[ab_-]{1,3}|[A-Za-z0-9_-]{1,128}"
        .prop_filter("a registry's account", |id| !id.starts_with(REGISTRY_ACCOUNT_PREFIX))
}

fn two_accounts() -> impl Strategy<Value = (String, String)> {
    (account(), account()).prop_filter("two accounts", |(own, other)| own != other)
}

fn capability_name() -> impl Strategy<Value = String> {
    "[ab-]{1,3}|\\PC{1,12}".prop_filter("grantable", |name| grantable_capability(name))
}

/// Subjects of this network and of the server, and any other.
fn subject_before_issuer() -> impl Strategy<Value = String> {
    let token = "[a-z0-9_]{1,4}|inbox|receipts|reply|capability";
    let known = prop_oneof![
        token.prop_map(|to| format!("account.{to}.inbox")),
        token.prop_map(|to| format!("account.{to}.receipts")),
        token.prop_map(|to| format!("account.{to}.mailbox")),
        token.prop_map(|to| format!("account.{to}.control")),
        token.prop_map(|name| format!("agent.capability.{name}")),
        token.prop_map(|name| format!("registry.{name}")),
        (token, token).prop_map(|(to, id)| format!("agentnet.reply.{to}.{id}.0")),
        (token, token).prop_map(|(to, id)| format!("_AGENTNET.{to}.{id}")),
        token.prop_map(|id| format!("agentnet.registry.health.{id}")),
        token.prop_map(|name| format!("$JS.API.STREAM.{name}")),
    ];
    let other = proptest::collection::vec("account|agent|registry|agentnet|\\$JS|\\$SYS|_INBOX|[a-z]{1,3}", 1..6)
        .prop_map(|tokens| tokens.join("."));
    prop_oneof![3 => known, 1 => other]
}

proptest! {
    #[test]
    fn an_agent_publishes_in_no_other_name(
        (own, other) in two_accounts(),
        subject in subject_before_issuer(),
        capabilities in proptest::collection::vec(capability_name(), 0..3),
    ) {
        let lists = agent_lists(&own, &capabilities, None);
        let subject = issued(&subject, &other);
        // Below the own inbox prefix an agent publishes to itself, whatever the last token is.
        let to_itself = subject.starts_with(&format!("_AGENTNET.{own}."));
        prop_assert_eq!(any_covers(&lists.publish, &subject), to_itself, "{}", subject);
    }

    #[test]
    fn an_agent_hears_nothing_that_is_for_another(
        (own, other) in two_accounts(),
        capabilities in proptest::collection::vec(capability_name(), 0..3),
        name in capability_name(),
        from in account(),
    ) {
        let lists = agent_lists(&own, &capabilities, None);
        for subject in [
            inbox(&other),
            issued(&inbox(&other), &from),
            issued(&receipts(&other), &from),
            issued(&mailbox(&other), &from),
            issued(&control(&other), &from),
            format!("agentnet.reply.{other}.01ABC.0"),
            format!("agentnet.reply.{other}.01ABC.0.{from}"),
            format!("agentnet.events.{other}.task"),
            format!("_AGENTNET.{other}.{from}"),
            format!("_INBOX.{from}.1"),
            issued("registry.hello", &from),
            "agentnet.registry.announce".to_owned(),
            "$SYS.REQ.USER.AUTH".to_owned(),
        ] {
            prop_assert!(!any_covers(&lists.subscribe, &subject), "{}", subject);
        }
        let granted = capabilities.contains(&name);
        prop_assert_eq!(any_covers(&lists.subscribe, &issued(&capability(&name), &from)), granted);
    }

    #[test]
    fn a_policy_is_kept((own, other) in two_accounts(), (friend, name) in (account(), capability_name())) {
        let targets = [friend.clone(), format!("capability:{name}")];
        let lists = agent_lists(&own, &[], Some(&targets));
        prop_assert!(any_covers(&lists.publish, &issued(&inbox(&friend), &own)));
        prop_assert!(any_covers(&lists.publish, &issued(&capability(&name), &own)));
        prop_assert_eq!(any_covers(&lists.publish, &issued(&inbox(&other), &own)), other == friend);
        prop_assert!(!any_covers(&lists.publish, &issued(&capability("elsewhere"), &own)) || name == "elsewhere");
        prop_assert!(any_covers(&lists.publish, &issued(&receipts(&other), &own)), "receivers still answer");
    }

    /// Any texts at all give an error, or permissions of the usual shape.
    #[test]
    fn no_text_adds_a_wildcard_or_leaves_its_quotes(
        own in "\\PC{0,8}|[a-z*>.{} \"\\n$]{0,6}|[a-z]{1,8}",
        name in "\\PC{0,8}|[a-z*>.{} \"\\n$]{0,6}|[a-z]{1,8}",
        target in "\\PC{0,8}|(capability:)?[a-z*>.{} \"\\n$]{0,6}|[a-z]{1,8}",
        role in proptest::sample::select(Role::ALL),
    ) {
        let capabilities = [name];
        let targets = [target];
        let usual = |account_id: &str, capabilities: &[String], targets: &[String]| {
            permissions(&Grant { role, account_id, capabilities, may_send_to: Some(targets) })
        };
        let Ok(lists) = usual(&own, &capabilities, &targets) else {
            return Ok(());
        };
        // With plain texts in the place of these, the lists have the same shape.
        let plain_target = if targets[0].starts_with("capability:") { "capability:x" } else { "x" };
        let plain_own = if role == Role::Registry { "acct_registry_x" } else { "x" };
        let plain = usual(plain_own, &["x".to_owned()], &[plain_target.to_owned()]).unwrap();
        for (given, plain) in [(&lists.publish, &plain.publish), (&lists.subscribe, &plain.subscribe)] {
            prop_assert_eq!(given.len(), plain.len());
            for (given, plain) in given.iter().zip(plain) {
                prop_assert_eq!(shape(given), shape(plain), "{} {}", given, plain);
                prop_assert!(!given.contains(['"', '\'', '\\', '{', '}', '\n', '\r']), "{}", given);
            }
        }
    }
}

/// The tokens of a permission, with wildcards as they are; `=` for any other.
fn shape(permission: &str) -> Vec<Vec<&str>> {
    let token = |token| if matches!(token, "*" | ">") { token } else { "=" };
    let parts = permission.split(' ');
    parts.map(|part| part.split('.').map(token).collect()).collect()
}

#[test]
fn agents_get_no_subject_of_the_server() {
    let capabilities = ["chat".to_owned()];
    for role in [Role::Agent, Role::Observer, Role::Operator, Role::Join, Role::Renew] {
        let lists = permissions(&Grant {
            role,
            account_id: "acct_1",
            capabilities: &capabilities,
            may_send_to: None,
        })
        .unwrap();
        for permission in lists.publish.iter().chain(&lists.subscribe) {
            let first = permission.split('.').next().unwrap();
            assert!(!first.starts_with(['$', '*', '>']), "{role}: {permission}");
        }
    }
}

#[test]
fn a_registry_neither_purges_nor_deletes_a_stream() {
    let lists = permissions(&Grant {
        role: Role::Registry,
        account_id: "acct_registry_r",
        capabilities: &[],
        may_send_to: None,
    })
    .unwrap();
    for subject in [
        "$JS.API.STREAM.PURGE.AGENTNET_HISTORY",
        "$JS.API.STREAM.DELETE.AGENTNET_HISTORY",
        "$JS.API.CONSUMER.DELETE.AGENTNET_HISTORY.agentnet-registry",
        "$JS.API.CONSUMER.CREATE.AGENTNET_HISTORY.other",
        "$JS.API.STREAM.CREATE.other",
        "$JS.API.DIRECT.GET.AGENTNET_HISTORY",
        "account.acct_1.inbox.acct_registry_r",
        "account.acct_1.receipts.acct_registry_other",
        "registry.hello.acct_1",
    ] {
        assert!(!any_covers(&lists.publish, subject), "{subject}");
    }
}

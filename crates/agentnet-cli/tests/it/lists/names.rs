//! Accounts as lists name them: what strangers wrote, short forms, names that would become others.

use super::*;

/// Names and payloads of strangers, in the forms that programs read.
#[tokio::test]
async fn what_strangers_wrote_is_data_alone() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let client = RawClient::connect(&url).await.unwrap();
    for (username, name) in [("a", "=1+1"), ("b", "—"), ("c", "")] {
        let register = serde_json::json!({"agent_id": username, "name": name, "username": username});
        let reply = client
            .request("registry.register", register.to_string().into())
            .await
            .unwrap();
        assert!(
            String::from_utf8_lossy(&reply.payload).contains("\"account_id\""),
            "{reply:?}"
        );
    }
    let table = line(&url, "search --output csv").await.ok();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let mut names: Vec<(&str, &str)> = rows.iter().map(|row| (row[1], row[0])).collect();
    names.sort_unstable();
    assert_eq!(names[..2], [("a", "'=1+1"), ("b", "—")], "{table}");
    assert_eq!(rows[0][3], "", "no capabilities: {table}");

    let payload = r#"{"text":"x","score":NaN,"most":[Infinity,-Infinity]}"#;
    let message = format!(
        r#"{{"message_id":"m1","from_agent":"raw","to_agent":"x","to_account_id":"acct_x","payload":{payload},"sent_at":"{}","kind":"direct","schema_version":"1.1","thread_id":"nan","ttl_ms":30000}}"#,
        "2026-02-21T08:00:00Z"
    );
    client.publish("account.acct_x.inbox", message.into()).await.unwrap();
    crate::harness::until(&url, "message-search --thread-id nan", |found| {
        found["messages"][0].is_object()
    })
    .await;
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("thread.json");
    let written = format!("export thread nan --format json --out {}", file.display());
    line(&url, &written).await.ok();
    for document in [
        line(&url, "thread-messages --thread-id nan --json").await.ok(),
        line(&url, "export thread nan --format jsonl").await.ok(),
        line(&url, "export thread nan --json").await.ok(),
        std::fs::read_to_string(&file).unwrap(),
    ] {
        let parsed: serde_json::Value = serde_json::from_str(&document).unwrap();
        let message = match parsed["messages"].get(0) {
            Some(message) => message,
            None => &parsed,
        };
        let payload = serde_json::json!({"text": "x", "score": "NaN", "most": ["Infinity", "-Infinity"]});
        assert_eq!(message["payload"], payload, "{document}");
    }
    up.stop().await;
}

/// An account is meant by the beginning of its id, by what a table shows of it, and by its name.
#[tokio::test]
async fn accounts_are_named_in_short() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let client = RawClient::connect(&url).await.unwrap();
    let _agent = parrot(&url).await;
    for id in ["team_red", "team_blue"] {
        let register = serde_json::json!({"agent_id": id, "username": id, "account_id": id, "name": id});
        client
            .request("registry.register", register.to_string().into())
            .await
            .unwrap();
    }
    let profile = line(&url, "profile --username parrot --json").await.json();
    let id = profile["profile"]["account_id"].as_str().unwrap().to_owned();
    for short in [id[..20].to_owned(), format!("{}…{}", &id[..8], &id[id.len() - 6..])] {
        line(&url, &format!("send --as ada --to-account {short} --thread-id t1 1"))
            .await
            .ok();
        let found = line(&url, &format!("profile --account-id {short} --json")).await.json();
        assert_eq!(found["profile"]["account_id"], id.as_str(), "{short}");
    }
    crate::harness::until(&url, "message-search --thread-id t1", |found| {
        found["messages"][1].is_object()
    })
    .await;
    for words in [
        format!("message-search --from ada --to {}", &id[..20]),
        format!("message-search --from @ada --to {id}"),
        "message-search --to parrot --thread-id t1".to_owned(),
        format!("message-search --to-account-id {}", &id[..20]),
    ] {
        let found = line(&url, &format!("{words} --json")).await.json();
        assert_eq!(found["messages"].as_array().unwrap().len(), 2, "{words}");
    }
    let threads = line(&url, &format!("threads --participant-account {} --json", &id[..20]))
        .await
        .json();
    assert_eq!(threads["results"][0]["thread_id"], "t1");
    let told = line(&url, "profile --account-id team --json").await.fails_as_json(2);
    assert_eq!(told["code"], "account_ambiguous", "{told}");
    let named = ["team_red (@team_red)", "team_blue (@team_blue)"];
    assert!(
        named.iter().all(|name| told["hint"].as_str().unwrap().contains(name)),
        "{told}"
    );
    for words in [
        "profile --account-id acct_zzz",
        "send --to-account acct_zz…zz 1",
        "message-search --from acct_zz…zz",
        "message-search --from acct_zzz",
        "message-search --to-account-id acct_zzz",
        "threads --participant-account acct_zzz",
    ] {
        line(&url, words).await.fails(2, &["not_found", "hint: "]);
        let told = line(&url, &format!("{words} --json")).await.fails_as_json(2);
        let code = told["code"].as_str().unwrap();
        assert!(code.ends_with("not_found"), "{words}: {told}");
    }
    line(&url, "message-search --from nobody")
        .await
        .fails(2, &["No account found for username 'nobody'"]);
    for (kind, hint) in [
        ("reqest", "did you mean request?"),
        ("order", "which are direct, request,"),
    ] {
        let ran = line(&url, &format!("message-search --kind {kind}")).await;
        assert!(ran.stderr.contains(hint), "{ran:?}");
    }
    up.stop().await;
}

/// Two names in other scripts must not become one account, nor a variable that was never set become a name or a thread.
#[tokio::test]
async fn names_that_would_become_others_are_refused() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().to_str().unwrap();
    let long = "a".repeat(3000);
    for (name, parts) in [
        ("日本", vec!["\"日本\"", "nothing of it would remain"]),
        ("José", vec!["\"José\"", "would become \"jos\""]),
        ("\u{212a}elvin", vec!["\"\u{212a}elvin\"", "would become \"kelvin\""]),
        (long.as_str(), vec!["3000 bytes", "at most 256"]),
    ] {
        for arguments in [
            vec!["echo", "--username", name],
            vec!["send", "--as", name, "--to-username", "x", "1"],
            vec!["send", "--as", "ada", "--to-username", name, "1"],
            vec!["request", "--to-username", name, "1"],
            vec!["profile", "--username", name],
            vec!["threads", "--participant-username", name],
            vec!["message-search", "--from", name],
            vec!["keys", "new", "--as", name, "--key-dir", keys],
        ] {
            agentnet(&url, arguments).await.fails(2, &parts);
        }
    }
    for arguments in [
        vec!["send", "--as", "", "--to-username", "x", "1"],
        vec!["send", "--as", "ada", "--thread-id", "", "--to-username", "x", "1"],
        vec!["thread-messages", "--thread-id", " "],
        vec!["thread-status", "--thread-id", ""],
        vec!["message-search", "--thread-id", ""],
        vec!["export", "thread", ""],
        vec!["echo", "--username", "@"],
        vec!["keys", "show", "--as", ""],
        vec!["threads", "--cursor", ""],
        vec!["threads", "--participant-username", "@"],
        vec!["message-search", "--kind", " "],
        vec!["search", "--capability", ""],
        vec!["search", "--query", ""],
        vec!["watch", "--from", ""],
        vec!["watch", "--grep", ""],
        vec!["echo", "--name", ""],
        vec!["send", "--to-capability", "", "1"],
    ] {
        agentnet(&url, arguments).await.fails(2, &["it is empty"]);
    }
    // Punctuation folds, and that is said.
    let mut agent = Service::line(&url, "echo --username weather/bot");
    agent.says("becomes @weather_bot").await;
    agent.says("@weather_bot is online").await;
    agent.signal(rustix::process::Signal::INT);
    agent.ended().await;
    up.stop().await;
}

/// A command that sends as an agent does not change its profile; a new account gets the profile of the command.
#[tokio::test]
async fn speaking_as_an_agent_leaves_its_profile_alone() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut agent = parrot(&url).await;
    let is_parrot = async |when: &str| {
        let profile = &line(&url, "profile --username parrot --json").await.json()["profile"];
        assert_eq!(profile["display_name"], "A \"Parrot\", grey", "{when}");
        assert_eq!(profile["capabilities"], serde_json::json!(["listen"]), "{when}");
    };
    line(&url, "send --as parrot --to-username parrot 1").await.ok();
    is_parrot("after a send").await;
    line(&url, "request --as parrot --to-username parrot {}").await.ok();
    is_parrot("after a request").await;
    agent.signal(rustix::process::Signal::TERM);
    agent.ended().await;
    line(&url, "send --as parrot --to-username ada 1").await;
    is_parrot("while it is offline").await;
    line(&url, "send --as newcomer --to-username parrot 1").await;
    let new = line(&url, "profile --username newcomer --json").await.json();
    assert_eq!(new["profile"]["display_name"], "CLI Sender");
    up.stop().await;
}

/// The name that a sender gives itself is marked as such, and never shown as an account's name.
#[tokio::test]
async fn a_sender_without_an_account_has_no_name() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = parrot(&url).await;
    let profile = line(&url, "profile --username parrot --json").await.json();
    let id = profile["profile"]["account_id"].as_str().unwrap().to_owned();
    let mut watch = Service::line(&url, "watch");
    watch.says("watching").await;
    let client = RawClient::connect(&url).await.unwrap();
    let forged = |message: &str, from: &str| {
        format!(
            r#"{{"message_id":"{message}","from_agent":"{from}","to_agent":"x","to_account_id":"acct_x","payload":{{}},"sent_at":"2026-02-21T08:00:00Z","kind":"direct","schema_version":"1.1","thread_id":"forged","ttl_ms":30000}}"#
        )
    };
    for (message, from) in [("m1", "@parrot"), ("m2", id.as_str())] {
        let message = forged(message, from);
        client.publish("account.acct_x.inbox", message.into()).await.unwrap();
        let told = watch.next_line().await;
        assert!(told.contains(&format!("{from} (no account)")), "{told}");
    }
    crate::harness::until(&url, "message-search --thread-id forged", |found| {
        found["messages"][1].is_object()
    })
    .await;
    for words in ["thread-messages --thread-id forged", "export thread forged"] {
        let told = line(&url, words).await.ok();
        assert_eq!(
            told.matches("(no account)").count(),
            2 + usize::from(words.starts_with("export")) * 2,
            "{told}"
        );
    }
    up.stop().await;
}

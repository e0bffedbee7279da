//! `agentnet conformance` as its users run it: against our registry and agents, against foreign ones, and against wrong ones.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use agentnet_testkit::{NatsServer, RawClient};
use futures::StreamExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::harness::{FreePort, Ran, Service, Up, echo, line};

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec")
}

/// The report of a run with this exit code.
#[track_caller]
fn report(ran: &Ran, code: i32) -> Value {
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "one document: {ran:?}");
    let report: Value = serde_json::from_str(lines[0]).unwrap();
    let mut failed = report["steps"].as_array().unwrap().clone();
    failed.retain(|step| step["verdict"] == "fail");
    assert_eq!(ran.code, Some(code), "{failed:#?}\n{}", ran.stderr);
    report
}

/// The names of the steps with a verdict.
fn steps(report: &Value, verdict: &str) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps
        .filter(|step| step["verdict"] == verdict)
        .map(|step| format!("{} {}", step["step"], step["name"].as_str().unwrap()))
        .collect()
}

fn count(report: &Value, verdict: &str) -> usize {
    let count = usize::try_from(report["counts"][verdict].as_u64().unwrap()).unwrap();
    assert_eq!(count, steps(report, verdict).len());
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn our_registry_passes_again_and_again() {
    let mut up = Up::start().await;
    let first = report(
        &line(&up.url, "conformance registry --json --strict --timeout 10").await,
        0,
    );
    assert_eq!((count(&first, "pass"), count(&first, "fail")), (340, 0));
    for _ in 0..2 {
        let again = report(&line(&up.url, "conformance registry --json --timeout 10").await, 0);
        assert_eq!(
            (count(&again, "intended_difference"), count(&again, "fail")),
            (0, 0),
            "{again}"
        );
        assert!(count(&again, "pass") > 320, "{again}");
        assert_ne!(again["run"], first["run"]);
    }
    // The run has given its sessions back.
    let listed = line(&up.url, "list --json").await.json();
    assert_eq!(listed["agents"].as_array().unwrap().len(), 0, "{listed}");

    let shown = line(&up.url, "conformance registry --only metrics --timeout 10")
        .await
        .ok();
    assert!(shown.starts_with("✓ threads 81"), "{shown}");
    assert!(
        shown.ends_with("registry registry: 2 steps, 2 pass, 0 intended difference, 0 fail, 0 not run\n"),
        "{shown}"
    );
    let text = format!("conformance registry --json --timeout 10 --spec {}", spec().display());
    assert_eq!(count(&report(&line(&up.url, &text).await, 0), "fail"), 0);
    up.stop().await;
}

/// What stands between a client and a registry, and changes or swallows replies.
struct Between {
    nats: NatsServer,
    passing: JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

impl Between {
    /// `change` gets subject, request and reply; `None` swallows it.
    async fn start(registry: &str, change: fn(&str, &[u8], Value) -> Option<Value>) -> Self {
        let nats = NatsServer::builder().start().await.unwrap();
        let (near, far) = (
            RawClient::connect(&nats.url()).await.unwrap(),
            RawClient::connect(registry).await.unwrap(),
        );
        let mut subscriptions = Vec::new();
        for subject in ["registry.*", "account.>", "agent.>", "_INBOX.somewhere.>"] {
            subscriptions.push(near.subscribe(subject).await.unwrap());
        }
        near.flush().await.unwrap();
        let mut messages = futures::stream::select_all(subscriptions);
        let passing = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let Some(reply_to) = message.reply else {
                    far.publish(message.subject, message.payload).await.unwrap();
                    continue;
                };
                let reply = far
                    .request(message.subject.clone(), message.payload.clone())
                    .await
                    .unwrap();
                let reply = serde_json::from_slice(&reply.payload).unwrap();
                if let Some(reply) = change(&message.subject, &message.payload, reply) {
                    near.publish(reply_to, reply.to_string().into()).await.unwrap();
                }
            }
        });
        Self { nats, passing }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_registry_fails_where_it_is_wrong() {
    let mut up = Up::start().await;
    let between = Between::start(&up.url, |subject, _, mut reply| {
        match subject {
            "registry.resolve_account" if reply["error"] == "not_found" => reply["error"] = "unknown".into(),
            "registry.profile"
                if reply["profile"]["username"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("bob")) =>
            {
                reply["profile"].as_object_mut().unwrap().remove("bio");
            }
            _ => {}
        }
        Some(reply)
    })
    .await;
    let ran = line(&between.nats.url(), "conformance registry --json --timeout 10").await;
    let wrong = report(&ran, 1);
    let expected = [
        "38 unknown",
        "43 restored session's account was never created",
        "82 account id wins",
    ];
    assert_eq!(steps(&wrong, "fail"), expected);
    assert!(
        ran.stderr.contains(r#""message":"3 of 340 tested steps failed""#),
        "{}",
        ran.stderr
    );
    let detail = wrong["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["name"] == "unknown")
        .unwrap();
    assert_eq!(detail["details"][0], r#"$.error: expected "not_found", got "unknown""#);

    // All steps run; the selected ones are reported.
    let ran = line(
        &between.nats.url(),
        "conformance registry --only registry.profile --timeout 10",
    )
    .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout
            .contains("✗ identity 82  registry.profile  6  account id wins\n      $.profile.bio: "),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains(" 1 fail, "), "{}", ran.stdout);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_original_does_is_an_intended_difference() {
    let mut up = Up::start().await;
    let between = Between::start(&up.url, |subject, request, mut reply| {
        let reads = !["registry.list", "registry.metrics"].contains(&subject);
        if reads && !request.is_empty() && serde_json::from_slice::<Value>(request).is_err() {
            return None;
        }
        reply.as_object_mut().unwrap().remove("reply_prefix");
        let history = ["registry.thread_messages", "registry.message_search"].contains(&subject);
        for message in reply["messages"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter(|_| history)
        {
            for name in ["from_agent", "ttl_ms", "expires_at"] {
                message.as_object_mut().unwrap().remove(name);
            }
        }
        Some(reply)
    })
    .await;
    let alike = report(
        &line(&between.nats.url(), "conformance registry --json --timeout 10").await,
        0,
    );
    assert_eq!(count(&alike, "fail"), 0);
    let intended = steps(&alike, "intended_difference");
    for step in [
        "0 new account; username normalised",
        "17 malformed JSON: no reply at all",
        "50 page 2",
    ] {
        assert!(intended.iter().any(|name| name == step), "{intended:?}");
    }
    let page = alike["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["name"] == "page 2")
        .unwrap();
    let sections: Vec<&Value> = page["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| &reason["section"])
        .collect();
    assert!(sections.contains(&&Value::from("0.10")), "{page}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_agent_passes() {
    let mut up = Up::start().await;
    let agent = echo(&up.url, "--conformance --username echo --capability check").await;
    let ran = line(
        &up.url,
        "conformance agent --to @echo --capability check --json --timeout 10",
    )
    .await;
    let report = report(&ran, 0);
    assert_eq!((count(&report, "pass"), count(&report, "not_run")), (61, 1), "{report}");
    assert_eq!(steps(&report, "not_run"), ["58 a handler that takes too long"]);
    drop(agent);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_do_what_it_should_fails() {
    let mut up = Up::start().await;
    // Its handler never fails.
    let agent = echo(&up.url, "--username echo").await;
    let only = "conformance agent --to @echo --json --only handler --timeout 10";
    let wrong = report(&line(&up.url, only).await, 1);
    assert_eq!(steps(&wrong, "fail"), ["49 a handler that fails"], "{wrong}");
    let ran = line(&up.url, "conformance agent --to @echo --only capability --timeout 10").await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("0 fail, 2 not run"), "{ran:?}");
    assert!(ran.stderr.contains("error: no step could be tested"), "{ran:?}");
    drop(agent);
    // An agent without any guard.
    let mut python = Service::spawn(python("agent.py", &["serve", &up.url, "py"]));
    python.next_line().await;
    let only = "conformance agent --to @py --json --only schema_version --timeout 10";
    let wrong = report(&line(&up.url, only).await, 1);
    assert_eq!(count(&wrong, "fail"), 10, "{wrong}");
    up.stop().await;
}

/// A program of `spec/peers`, which stops when its stdin closes.
fn python(program: &str, arguments: &[&str]) -> Command {
    let python = spec().join("../.tools/python/bin/python");
    assert!(
        python.exists(),
        "the Python environment is missing: run `make python-peer`"
    );
    let mut command = Command::new(python);
    command.arg(spec().join("peers").join(program)).args(arguments);
    command.kill_on_drop(true).stdin(Stdio::piped());
    command
}

/// The example for other languages.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_agent_passes() {
    let mut up = Up::start().await;
    let mut python = Service::spawn(python("conforming.py", &[&up.url, "py", "--capability", "check"]));
    assert_eq!(python.next_json().await["event"], "ready");
    let ran = line(
        &up.url,
        "conformance agent --to @py --capability check --json --timeout 10",
    )
    .await;
    let report = report(&ran, 0);
    assert_eq!(
        (count(&report, "pass"), count(&report, "not_run")),
        (61, 1),
        "{report}\n{}",
        python.stderr()
    );
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_agent_like_the_originals_differs_as_intended() {
    let mut up = Up::start().await;
    let mut python = Service::spawn(python("conforming.py", &[&up.url, "py", "--original"]));
    assert_eq!(python.next_json().await["event"], "ready");
    // What differs is mostly that nothing comes, which is waited for to the end.
    let words = "conformance agent --to @py --json --timeout 4";
    let report = report(&line(&up.url, words).await, 0);
    assert_eq!(
        (count(&report, "intended_difference"), count(&report, "fail")),
        (9, 0),
        "{report}"
    );
    let reasons = report["steps"].as_array().unwrap().iter();
    let mut reasons = reasons.filter(|step| step["verdict"] == "intended_difference");
    assert!(reasons.all(|step| step["reasons"][0]["section"] == "0.7"), "{report}");
    up.stop().await;
}

#[tokio::test]
async fn where_nothing_can_be_judged_the_exit_code_is_2() {
    let port = FreePort::take().await;
    let nobody = format!("nats://token@127.0.0.1:{}", port.number());
    line(&nobody, "conformance registry").await.fails(2, &["hint: "]);
    let nats = NatsServer::builder().start().await.unwrap();
    let ran = line(&nats.url(), "conformance registry").await;
    ran.fails(2, &["no registry answers", "agentnet registry"]);
    line(&nats.url(), "conformance agent --to @echo")
        .await
        .fails(2, &["no registry answers"]);

    let mut up = Up::start().await;
    for (words, parts) in [
        (
            "conformance registry --only nonsense",
            ["no step has `nonsense`", "--only"],
        ),
        (
            "conformance registry --dev-auth",
            ["does not check signatures", "leave out --dev-auth"],
        ),
        (
            "conformance registry --spec /nowhere",
            ["/nowhere", "cannot read the step file"],
        ),
        ("conformance agent --to @nobody", ["not_found", "agentnet list"]),
        (
            "conformance agent --to acct_nobody",
            ["the agent acct_nobody does not answer", "hint: "],
        ),
    ] {
        let ran = line(&up.url, words).await;
        assert!(ran.stderr.contains("error: "), "{words}: {ran:?}");
        assert_eq!(ran.code, Some(2), "{words}: {ran:?}");
        for part in parts {
            assert!(ran.stderr.contains(part), "{words}: {ran:?}");
        }
    }
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("conformance")).unwrap();
    std::fs::write(
        folder.path().join("conformance/agent.json"),
        r#"{"description": "", "steps": [{}]}"#,
    )
    .unwrap();
    let ran = line(
        &up.url,
        &format!("conformance agent --to @echo --spec {}", folder.path().display()),
    )
    .await;
    ran.fails(2, &["conformance/agent.json cannot be used", "missing field `name`"]);
    up.stop().await;
}

/// A handler that outlasts its time: half a minute, since that is how long a handler may take.
#[tokio::test(flavor = "multi_thread")]
async fn slow_steps_are_run_when_they_are_asked_for() {
    let mut up = Up::start().await;
    let _agent = crate::harness::echo(&up.url, "--conformance").await;
    let only = "conformance agent --to @echo --json --only takes";
    let without = line(&up.url, only).await;
    assert!(
        without.code == Some(2) && without.stderr.contains("no step could be tested"),
        "{without:?}"
    );
    let with = report(&line(&up.url, &format!("{only} --slow --timeout 10")).await, 0);
    assert_eq!((count(&with, "pass"), count(&with, "not_run")), (1, 0), "{with}");
    up.stop().await;
}

//! Conformance: the recorded conversations of `spec/transcripts` with the original registry, held again with ours over a real
//! nats-server, reply by reply and member by member, by the rules of `agentnet-conformance`.
//!
//! Where our replies are meant to differ, `spec/conformance` says so, with the decision of section 0 of the protocol. Ours has
//! to answer every step as that says: what is as the original's instead does not do. `AGENTNET_SPEC=DIR` takes the step files
//! from another directory.

use std::time::Duration;

use agentnet_conformance::registry::{self, RegistryOptions};
use agentnet_conformance::{ConformanceError, Report, Spec, Verdict};
use agentnet_registry::RegistryConfig;
use rstest::rstest;

use crate::support::{Backend, Network};

fn options() -> RegistryOptions {
    let mut options = RegistryOptions::default();
    options.timeout = Duration::from_secs(10);
    if let Some(directory) = std::env::var_os("AGENTNET_SPEC") {
        options.spec = Spec::directory(directory);
    }
    options
}

#[track_caller]
fn all_pass(report: &Report, steps: usize) {
    assert_eq!(report.steps.len(), steps, "every request is judged");
    let others: Vec<String> = report
        .steps
        .iter()
        .filter(|step| step.verdict != Verdict::Pass)
        .map(|step| format!("{:?}: {step}", step.verdict))
        .collect();
    assert!(
        others.is_empty(),
        "{} of {steps} differ:\n{}",
        others.len(),
        others.join("\n")
    );
}

/// All conversations with a registry that is empty and has no other clients: compared strictly.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn identity_and_threads(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let mut strict = options();
    strict.strict = true;
    let report = registry::run(&net.client, &strict).await.unwrap();
    all_pass(&report, 340);
    assert_eq!(report.target, registry.server_id());
    registry.shutdown().await;
}

/// As above, for a registry that checks signatures.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn dev_auth(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..net.config()
    };
    let registry = net.registry_with(config).await;
    let mut signed = options();
    (signed.strict, signed.dev_auth) = (true, true);
    all_pass(&registry::run(&net.client, &signed).await.unwrap(), 85);
    // And again, where the accounts of the first run are known already.
    signed.strict = false;
    all_pass(&registry::run(&net.client, &signed).await.unwrap(), 85);

    signed.dev_auth = false;
    let error = registry::run(&net.client, &signed).await.unwrap_err();
    assert!(matches!(error, ConformanceError::DevAuthOn), "{error}");
    registry.shutdown().await;
}

/// Three registries serve one network: only counters cannot be judged, each has its own.
#[tokio::test(flavor = "multi_thread")]
async fn several_registries() {
    let net = Network::on(Backend::Postgres, true).await;
    let mut registries = Vec::new();
    for server_id in ["one", "two_2", "three"] {
        let config = RegistryConfig {
            server_id: server_id.to_owned(),
            ..net.config()
        };
        registries.push(net.registry_with(config).await);
    }
    let report = registry::run(&net.client, &options()).await.unwrap();
    for step in report.steps.iter().filter(|step| step.verdict != Verdict::Pass) {
        assert_eq!(
            (step.verdict, step.subject.as_str()),
            (Verdict::NotRun, "registry.metrics"),
            "{step}"
        );
        assert!(step.details[0].contains("several registries answer"), "{step}");
    }
    for registry in registries {
        registry.shutdown().await;
    }
}

/// A registry that holds others' data already, and is set otherwise than the recorded one.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_in_use(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        server_id: "eu_1".to_owned(),
        agent_ttl: Duration::from_secs(300),
        ..net.config()
    };
    let registry = net.registry_with(config).await;
    for name in ["alice", "bob_agent", "carol", "nobody", "9"] {
        net.register(name).await;
    }
    for number in 0..30 {
        net.publish(
            "account.acct_b.inbox",
            crate::support::message(&format!("m{number:03}"), &format!("thread_{number}")),
        )
        .await;
    }
    net.history("thread_29", 1).await;
    for _ in 0..2 {
        let report = registry::run(&net.client, &options()).await.unwrap();
        let wrong: Vec<String> = report.with(Verdict::Fail).map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(report.counts.intended_difference, 0, "{report:?}");
        assert!(
            report.counts.pass > 195 && report.counts.not_run < 10,
            "{:?}",
            report.counts
        );
        for step in report.with(Verdict::NotRun) {
            assert!(step.details[0].contains("others' data"), "{step}");
        }
    }
    let mut signed = options();
    signed.dev_auth = true;
    let error = registry::run(&net.client, &signed).await.unwrap_err();
    assert!(matches!(error, ConformanceError::DevAuthOff), "{error}");
    registry.shutdown().await;
}

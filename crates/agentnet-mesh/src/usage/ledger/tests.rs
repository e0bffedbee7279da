use super::*;
use crate::config::LimitsConfig;
use crate::usage::fixtures;

fn agent(tokens_per_request: Option<u64>, tokens_per_day: Option<u64>, usd_per_day: Option<f64>) -> AgentConfig {
    let agent = fixtures::agent("planner");
    let limits = LimitsConfig {
        tokens_per_request,
        tokens_per_day,
        usd_per_day,
        ..agent.limits
    };
    AgentConfig { limits, ..agent }
}

fn record(at: &str, input: u64, output: u64, cached_input: u64) -> UsageRecord {
    UsageRecord {
        at: at.into(),
        agent: "planner".into(),
        provider: "p".into(),
        model: "m".into(),
        thread_id: "t".into(),
        input,
        output,
        cached_input,
        usd: None,
    }
}

fn prices(cached_input: Option<f64>) -> BTreeMap<String, Price> {
    BTreeMap::from([(
        "m".to_owned(),
        Price {
            input: 3.0,
            output: 15.0,
            cached_input,
        },
    )])
}

/// A day that is never over while the tests run.
const DAY: &str = "9000-01-01";

fn at(day: &str) -> String {
    format!("{day}T12:00:00Z")
}

#[rstest::rstest]
#[case(1_000_000, 0, 0, None, 3.0)]
#[case(0, 1_000_000, 0, None, 15.0)]
#[case(1_000_000, 0, 1_000_000, Some(0.3), 0.3)]
#[case(1_000_000, 0, 1_000_000, None, 3.0)]
#[case(200_000, 10_000, 100_000, Some(0.3), 0.48)]
#[case(1, 0, 5, Some(0.3), 0.000_000_3)]
fn a_call_costs_by_the_price_of_its_model(
    #[case] input: u64,
    #[case] output: u64,
    #[case] cached: u64,
    #[case] cached_price: Option<f64>,
    #[case] expected: f64,
) {
    let ledger = Ledger::open(None, prices(cached_price)).unwrap();
    let usd = ledger.record(record(&at(DAY), input, output, cached)).unwrap();
    assert!((usd - expected).abs() < 1e-12, "{usd}");
}

#[test]
fn a_model_without_a_price_costs_nothing_that_is_known() {
    let ledger = Ledger::open(None, BTreeMap::new()).unwrap();
    assert_eq!(ledger.record(record(&at(DAY), 10, 10, 0)), None);
    ledger.set_prices(prices(None));
    assert!(ledger.record(record(&at(DAY), 10, 10, 0)).is_some());
}

#[rstest::rstest]
#[case(None, None, None, 1_000_000, None)]
#[case(Some(500), None, None, 499, None)]
#[case(Some(500), None, None, 500, Some("tokens_per_request of planner: 500 of 500 tokens"))]
#[case(None, Some(1_201), None, 0, None)]
#[case(
    None,
    Some(1_200),
    None,
    0,
    Some("tokens_per_day of planner: 1200 of 1200 tokens are used until 9000-01-02T00:00:00Z")
)]
#[case(None, None, Some(0.0061), 0, None)]
#[case(
    None,
    None,
    Some(0.006),
    0,
    Some("usd_per_day of planner: 0.0060 of 0.006 dollars are used until 9000-01-02T00:00:00Z")
)]
fn a_budget_that_is_used_up_says_which_and_until_when(
    #[case] tokens_per_request: Option<u64>,
    #[case] tokens_per_day: Option<u64>,
    #[case] usd_per_day: Option<f64>,
    #[case] used_in_request: u64,
    #[case] expected: Option<&str>,
) {
    let ledger = Ledger::open(None, prices(None)).unwrap();
    ledger.record(record(&at(DAY), 1_000, 200, 0));
    let agent = agent(tokens_per_request, tokens_per_day, usd_per_day);
    let refused = ledger
        .check_on(DAY, &agent, used_in_request)
        .err()
        .map(|error| error.to_string());
    match expected {
        None => assert_eq!(refused, None),
        Some(text) => assert!(
            refused.as_ref().is_some_and(|refused| refused.starts_with(text)),
            "{refused:?}"
        ),
    }
}

#[test]
fn a_new_day_has_a_new_budget() {
    let ledger = Ledger::open(None, BTreeMap::new()).unwrap();
    let agent = agent(None, Some(100), None);
    ledger.record(record(&at(DAY), 100, 0, 0));
    assert!(ledger.check_on(DAY, &agent, 0).is_err());
    assert!(ledger.check_on("9000-01-02", &agent, 0).is_ok());
    // A record of the day before that comes late does not count for the new one.
    ledger.record(record(&at(DAY), 100, 0, 0));
    assert!(ledger.check_on("9000-01-02", &agent, 0).is_ok());
}

#[test]
fn a_restart_does_not_renew_a_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh/usage.jsonl");
    let open = || Ledger::open(Some(path.clone()), prices(None)).unwrap();
    let used = |ledger: &Ledger| ledger.today.lock().of(DAY, "planner").tokens;
    let first = open();
    first.record(record(&at(DAY), 100, 20, 0));
    first.record(record("2000-01-01T00:00:00Z", 7_000, 0, 0));
    assert_eq!(used(&first), 120);
    drop(first);
    // What kill -9 leaves in the middle of a write.
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"at\":\"2026-").unwrap();
    let second = open();
    assert_eq!(used(&second), 120);
    second.record(record("", 1, 1, 0));
    let mut kept = Vec::new();
    assert_eq!(each_record(&path, |record| kept.push(record.input)).unwrap(), 1);
    assert_eq!(kept, [100, 7_000, 1]);
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    drop(Ledger::open(Some(path.clone()), BTreeMap::new()).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_long_thread_id_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let ledger = Ledger::open(Some(path.clone()), BTreeMap::new()).unwrap();
    ledger.record(UsageRecord {
        thread_id: "ü".repeat(200_000),
        ..record("", 1, 1, 0)
    });
    each_record(&path, |record| {
        assert_eq!(record.thread_id.chars().count(), MAX_THREAD_ID)
    })
    .unwrap();
}

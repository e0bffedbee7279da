use agentnet_protocol::limits::DEFAULT_MAX_METADATA_BYTES;
use agentnet_protocol::register_auth::{DEFAULT_MAX_SKEW_MS, DEFAULT_NONCE_TTL_SECONDS};
use agentnet_protocol::thread;
use agentnet_store::TlsMode;

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<RegistryConfig, ConfigError> {
    RegistryConfig::from_lookup(|name| {
        pairs
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn nothing_set_means_the_defaults() {
    let config = read(&[]).unwrap();
    assert_eq!(config, RegistryConfig::default());
    assert_eq!(config.agent_ttl.as_secs_f64(), 40.0);
    assert_eq!(config.heartbeat_interval.as_secs_f64(), 12.0);
    assert_eq!(config.clone().with_minima(), config, "the defaults respect the minima");
}

#[test]
fn every_default_can_be_parsed() {
    for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
        let parsed = setting.set(&mut RegistryConfig::default(), setting.default);
        assert_eq!(parsed, Ok(()), "{}", setting.variable);
    }
}

#[test]
fn the_defaults_are_those_of_protocol_and_store() {
    let config = RegistryConfig::default();
    assert_eq!(config.database, OpenOptions::default());
    assert_eq!(
        (
            config.thread_soft_limit_tokens,
            config.thread_hard_limit_tokens,
            config.thread_keep_tail_messages,
            config.token_estimate_chars_per_token,
        ),
        (
            thread::DEFAULT_SOFT_LIMIT_TOKENS,
            thread::DEFAULT_HARD_LIMIT_TOKENS,
            thread::DEFAULT_KEEP_TAIL_MESSAGES,
            thread::DEFAULT_CHARS_PER_TOKEN,
        )
    );
    assert_eq!(config.dev_auth_max_skew, Duration::from_millis(DEFAULT_MAX_SKEW_MS));
    assert_eq!(
        config.dev_auth_nonce_ttl,
        Duration::from_secs(DEFAULT_NONCE_TTL_SECONDS)
    );
    assert_eq!(config.max_metadata_bytes, DEFAULT_MAX_METADATA_BYTES);
}

#[test]
fn every_variable_is_read() {
    let config = read(&[
        ("NATS_URL", " nats://t@h:1 "),
        ("DATABASE_URL", "sqlite:///x"),
        ("AGENTNET_DATABASE_POOL_SIZE", "9"),
        ("AGENTNET_DATABASE_STATEMENT_TIMEOUT_SECONDS", "1.5"),
        ("AGENTNET_DATABASE_TLS", "Verify-Full"),
        ("REGISTRY_SERVER_ID", "r2"),
        ("AGENT_TTL_SECONDS", "2.5"),
        ("GC_INTERVAL_SECONDS", "1"),
        ("HEARTBEAT_INTERVAL_SECONDS", "3"),
        ("THREAD_SOFT_LIMIT_TOKENS", "10"),
        ("THREAD_HARD_LIMIT_TOKENS", "20"),
        ("THREAD_KEEP_TAIL_MESSAGES", "5"),
        ("TOKEN_ESTIMATE_CHARS_PER_TOKEN", "3.5"),
        ("SESSION_RETENTION_DAYS", "2"),
        ("THREAD_RETENTION_DAYS", "3"),
        ("THREAD_COMPACTION_EVENT_ENABLED", "Yes"),
        ("THREAD_COMPACTION_EVENT_COOLDOWN_SECONDS", "7"),
        ("DB_WRITE_BATCH_ENABLED", "0"),
        ("DB_WRITE_BATCH_SIZE", "9"),
        ("DB_WRITE_FLUSH_MS", "15"),
        ("DB_WRITE_QUEUE_MAX", "200"),
        ("REGISTRY_METRICS_WINDOW_SIZE", "64"),
        ("LOG_LEVEL", "DEBUG"),
        ("DEV_AUTH", "on"),
        ("DEV_AUTH_MAX_SKEW_SECONDS", "60"),
        ("DEV_AUTH_NONCE_TTL_SECONDS", "90"),
        ("DEV_AUTH_KEY_DIR", " /keys "),
        ("AGENTNET_OFFLINE_REPLIES", "no"),
        ("AGENTNET_MAX_METADATA_BYTES", "1000"),
        ("AGENTNET_MAX_NEW_ACCOUNTS_PER_SECOND", "7"),
        ("AGENTNET_MAILBOX", "off"),
        ("AGENTNET_MAILBOX_MAX_MESSAGES", "10"),
        ("AGENTNET_MAILBOX_MAX_BYTES", "2048"),
        ("AGENTNET_MAILBOX_SENDER_MAX_MESSAGES", "5"),
        ("AGENTNET_MAILBOX_TOTAL_BYTES", "4096"),
        ("AGENTNET_MAILBOX_MAX_AGE_HOURS", "1.5"),
        ("AGENTNET_MAILBOX_DEAD_DAYS", "3"),
        ("AGENTNET_MAILBOX_MAX_ATTEMPTS", "2"),
        ("AGENTNET_TASKS", "no"),
        ("AGENTNET_TASK_MAX_OPEN", "11"),
        ("AGENTNET_TASK_RETENTION_DAYS", "4"),
        ("AGENTNET_TASK_CANCEL_GRACE_SECONDS", "2.5"),
        ("AGENTNET_BLOB_MAX_BYTES", "4096"),
        ("AGENTNET_BLOB_ACCOUNT_MAX_BYTES", "8192"),
        ("AGENTNET_BLOB_ACCOUNT_MAX", "12"),
        ("AGENTNET_CAPTURE_STORAGE", "Memory"),
        ("AGENTNET_CAPTURE_REPLICAS", "3"),
        ("AGENTNET_METRICS_ADDR", " [::1]:9464 "),
        ("AGENTNET_USERS_FILE", "/users.conf"),
        ("AGENTNET_NATS_PID_FILE", " /nats.pid "),
    ])
    .unwrap();
    let expected = RegistryConfig {
        nats_url: "nats://t@h:1".into(),
        database_url: Some("sqlite:///x".into()),
        database: OpenOptions {
            pool_size: 9,
            statement_timeout: Duration::from_millis(1500),
            tls: Some(TlsMode::VerifyFull),
            ..OpenOptions::default()
        },
        server_id: "r2".into(),
        agent_ttl: Duration::from_millis(2500),
        gc_interval: Duration::from_secs(1),
        heartbeat_interval: Duration::from_secs(3),
        thread_soft_limit_tokens: 10,
        thread_hard_limit_tokens: 20,
        thread_keep_tail_messages: 5,
        token_estimate_chars_per_token: 3.5,
        session_retention_days: 2,
        thread_retention_days: 3,
        thread_compaction_event_enabled: Some(true),
        thread_compaction_event_cooldown: Some(Duration::from_secs(7)),
        db_write_batch_enabled: false,
        db_write_batch_size: 9,
        db_write_flush: Duration::from_millis(15),
        db_write_queue_max: 200,
        metrics_window_size: 64,
        log_level: "DEBUG".into(),
        dev_auth: true,
        dev_auth_max_skew: Duration::from_secs(60),
        dev_auth_nonce_ttl: Duration::from_secs(90),
        key_dir: Some("/keys".into()),
        offline_replies: false,
        max_metadata_bytes: 1000,
        max_new_accounts_per_second: 7,
        mailbox: false,
        mailbox_max_messages: 10,
        mailbox_max_bytes: 2048,
        mailbox_sender_max_messages: 5,
        mailbox_total_bytes: 4096,
        mailbox_max_age: Duration::from_secs(5_400),
        mailbox_dead_days: 3,
        mailbox_max_attempts: 2,
        tasks: false,
        task_max_open: 11,
        task_retention_days: 4,
        task_cancel_grace: Duration::from_millis(2_500),
        blob_max_bytes: 4096,
        blob_account_max_bytes: 8192,
        blob_account_max: 12,
        capture_storage: CaptureStorage::Memory,
        capture_replicas: 3,
        metrics_addr: Some("[::1]:9464".parse().unwrap()),
        authority: Some(Authority::file("/users.conf".into(), "/nats.pid".into())),
    };
    assert_eq!(config, expected);
}

#[test]
fn values_below_a_minimum_are_raised() {
    let config = read(&[
        ("HEARTBEAT_INTERVAL_SECONDS", "0"),
        ("THREAD_SOFT_LIMIT_TOKENS", "-3"),
        ("THREAD_HARD_LIMIT_TOKENS", "0"),
        ("THREAD_KEEP_TAIL_MESSAGES", "-1"),
        ("TOKEN_ESTIMATE_CHARS_PER_TOKEN", "0.1"),
        ("SESSION_RETENTION_DAYS", "0"),
        ("DB_WRITE_BATCH_SIZE", "0"),
        ("DB_WRITE_FLUSH_MS", "0"),
        ("DB_WRITE_QUEUE_MAX", "5"),
        ("REGISTRY_METRICS_WINDOW_SIZE", "1"),
        ("DEV_AUTH_MAX_SKEW_SECONDS", "-9"),
        ("DEV_AUTH_NONCE_TTL_SECONDS", "1"),
        ("AGENTNET_MAILBOX_MAX_MESSAGES", "0"),
        ("AGENTNET_MAILBOX_MAX_BYTES", "-1"),
        ("AGENTNET_MAILBOX_SENDER_MAX_MESSAGES", "0"),
        ("AGENTNET_MAILBOX_TOTAL_BYTES", "0"),
        ("AGENTNET_MAILBOX_MAX_AGE_HOURS", "0"),
        ("AGENTNET_MAILBOX_DEAD_DAYS", "0"),
        ("AGENTNET_MAILBOX_MAX_ATTEMPTS", "0"),
        ("AGENTNET_TASK_MAX_OPEN", "0"),
        ("AGENTNET_TASK_RETENTION_DAYS", "0"),
        ("AGENTNET_TASK_CANCEL_GRACE_SECONDS", "-1"),
        ("AGENTNET_CAPTURE_REPLICAS", "9"),
    ])
    .unwrap();
    assert_eq!(config.heartbeat_interval, Duration::from_secs(1));
    assert_eq!(
        (config.thread_soft_limit_tokens, config.thread_hard_limit_tokens),
        (1, 1)
    );
    assert_eq!(config.thread_keep_tail_messages, 0);
    assert_eq!(config.token_estimate_chars_per_token, 1.0);
    assert_eq!(config.session_retention_days, 1);
    assert_eq!(config.db_write_batch_size, 1);
    assert_eq!(config.db_write_flush, Duration::from_millis(1));
    assert_eq!(config.db_write_queue_max, 100);
    assert_eq!(config.metrics_window_size, 32);
    assert_eq!(config.dev_auth_max_skew, Duration::from_secs(1));
    assert_eq!(config.dev_auth_nonce_ttl, Duration::from_secs(5));
    assert_eq!(config.capture_replicas, 5);
    assert_eq!(
        (config.mailbox_max_messages, config.mailbox_sender_max_messages),
        (1, 1)
    );
    assert_eq!((config.mailbox_max_bytes, config.mailbox_total_bytes), (1024, 1024));
    assert_eq!(config.mailbox_max_age, Duration::from_secs(1));
    assert_eq!((config.mailbox_dead_days, config.mailbox_max_attempts), (1, 1));
    assert_eq!((config.task_max_open, config.task_retention_days), (1, 1));
    assert_eq!(config.task_cancel_grace, Duration::from_millis(100));
    let not_a_number = RegistryConfig {
        token_estimate_chars_per_token: f64::NAN,
        ..config
    };
    assert_eq!(not_a_number.with_minima().token_estimate_chars_per_token, 1.0);
}

#[test]
fn bad_values_name_their_variable() {
    for (name, value) in [
        ("AGENT_TTL_SECONDS", "soon"),
        ("AGENT_TTL_SECONDS", "inf"),
        ("GC_INTERVAL_SECONDS", "1e300"),
        ("THREAD_SOFT_LIMIT_TOKENS", "1.5"),
        ("DB_WRITE_BATCH_SIZE", "-1"),
        ("TOKEN_ESTIMATE_CHARS_PER_TOKEN", "nan"),
        ("AGENTNET_CAPTURE_STORAGE", "tape"),
        ("AGENTNET_METRICS_ADDR", "localhost:9464"),
        ("DEV_AUTH", "maybe"),
        ("AGENTNET_OFFLINE_REPLIES", "of"),
        ("DB_WRITE_BATCH_ENABLED", "2"),
        ("THREAD_COMPACTION_EVENT_ENABLED", "ja"),
    ] {
        let error = read(&[(name, value)]).unwrap_err();
        assert_eq!(error.name, name, "{value}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn blank_values_count_as_unset() {
    assert_eq!(
        read(&[("AGENT_TTL_SECONDS", " "), ("DATABASE_URL", "")]).unwrap(),
        RegistryConfig::default()
    );
}

/// The table of the settings with a flag, as docs/SETTINGS.md shows it.
fn page_table() -> String {
    let rows = SETTINGS.iter().filter_map(|setting| {
        let (meaning, default) = match setting.help.rsplit_once(" [default: ") {
            Some((meaning, default)) => (meaning, default.trim_end_matches(']').to_owned()),
            None if setting.default.is_empty() => (setting.help, "none".to_owned()),
            None => (setting.help, format!("`{}`", setting.default)),
        };
        let unit = match setting.value_name {
            unit @ ("SECONDS" | "HOURS" | "DAYS" | "MS" | "BYTES" | "TOKENS") => {
                format!(" {}", unit.to_ascii_lowercase())
            }
            _ => String::new(),
        };
        let flag = setting.flag?;
        Some(format!(
            "| `{}` | {default}{unit} | `--{flag}` | {meaning} |\n",
            setting.variable
        ))
    });
    format!(
        "\n| Environment | Default | Flag | Meaning |\n|---|---|---|---|\n{}\n",
        rows.collect::<String>()
    )
}

/// `make settings` renews the page.
#[test]
fn the_page_of_the_documentation_has_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SETTINGS.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("by `make settings` -->\n").unwrap();
    let (table, after) = rest.split_once("<!-- end of registry settings -->").unwrap();
    if std::env::var_os("AGENTNET_WRITE_DOCS").is_some() {
        let page = format!(
            "{before}by `make settings` -->\n{}<!-- end of registry settings -->{after}",
            page_table()
        );
        std::fs::write(path, page).unwrap();
    } else {
        assert_eq!(table, page_table(), "run `make settings`");
    }
}

#[test]
fn authorities_are_read_with_their_settings() {
    let common = [
        ("AGENTNET_AUTHORITY_KEY", "/a.nk"),
        ("AGENTNET_SYS_CREDS", "/sys.creds"),
        ("AGENTNET_AUTHORITY_ACCOUNT", "ACC"),
        ("AGENTNET_CREDENTIAL_SECONDS", "0.5"),
        ("AGENTNET_MAX_CONTROL_LINE", "65536"),
    ];
    let expected = crate::SigningAuthority {
        account: Some("ACC".into()),
        sys_creds: Some("/sys.creds".into()),
        lifetime: Some(Duration::from_secs(2)),
        max_control_line: 65_536,
        ..crate::SigningAuthority::new("/a.nk".into())
    };
    let with = |more: &[(&'static str, &'static str)]| read(&[&common[..], more].concat());
    let callout = with(&[("AGENTNET_AUTHORITY", "callout")]).unwrap();
    assert_eq!(callout.authority, Some(Authority::Callout(expected.clone())));
    let jwt = with(&[("AGENTNET_AUTHORITY", "JWT"), ("AGENTNET_OPERATOR_KEY", "/o.nk")]).unwrap();
    let operator_key = Some("/o.nk".into());
    assert_eq!(
        jwt.authority,
        Some(Authority::Jwt(crate::SigningAuthority {
            operator_key,
            ..expected
        }))
    );
    let file = read(&[("AGENTNET_AUTHORITY", "file"), ("AGENTNET_USERS_FILE", "/u")]).unwrap();
    assert_eq!(
        file.authority,
        Some(Authority::File {
            users: "/u".into(),
            pid: None
        })
    );
    for (name, value, more) in [
        ("AGENTNET_AUTHORITY", "token", None),
        ("AGENTNET_AUTHORITY_KEY", "/a.nk", None),
        ("AGENTNET_USERS_FILE", "/u", Some(("AGENTNET_AUTHORITY", "jwt"))),
        ("AGENTNET_OPERATOR_KEY", "/o", Some(("AGENTNET_AUTHORITY", "callout"))),
        ("AGENTNET_NATS_PID_FILE", "/p", Some(("AGENTNET_AUTHORITY", "callout"))),
        ("AGENTNET_MAX_CONTROL_LINE", "many", Some(("AGENTNET_AUTHORITY", "jwt"))),
    ] {
        let pairs: Vec<(&'static str, &'static str)> = more.into_iter().chain([(name, value)]).collect();
        assert_eq!(read(&pairs).unwrap_err().name, name, "{value}");
    }
}

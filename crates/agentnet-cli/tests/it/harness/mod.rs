//! The real binary, run as a user runs it: alone, as a service, with everything it wrote.
#![allow(unreachable_pub, reason = "shared with the benchmarks, not exported")]

pub mod old_registry;
pub mod process;
pub mod pty;
pub mod websocket;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet::protocol::rpc::{MessageSearchFilters, MessageSearchRequest};
use agentnet_testkit::{NatsServer, TestDatabase, eventually, find_nats_server};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// The longest that a test waits for one thing before it fails.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a run of the binary ended with.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Stdout of a run that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The one JSON document on stdout of a run that succeeded.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Asserts exit code, `error:` line (with `--json` the object) and its parts; nothing may look like a crash.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let is_told = ["error: ", r#"{"code":"#]
            .iter()
            .any(|begin| self.stderr.contains(begin));
        assert!(is_told, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing in {self:?}");
        }
        for crash in ["panicked", "backtrace"] {
            assert!(!self.stderr.contains(crash), "{self:?}");
        }
    }
}

impl Ran {
    /// The one JSON object on stderr of a run that failed with this exit code and printed nothing else.
    #[track_caller]
    pub fn fails_as_json(&self, code: i32) -> Value {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        let told: Value = serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error} in {self:?}"));
        let mut members: Vec<&String> = told.as_object().unwrap().keys().collect();
        members.sort_unstable();
        assert_eq!(members, ["code", "hint", "message", "network"], "{self:?}");
        told
    }
}

/// The binary, without the settings of the test's environment.
pub fn binary() -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_agentnet")))
}

/// As [`binary`], for a copy of it.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in [
        "AGENTNET_IDENTITY",
        "AGENTNET_NATS_URL",
        "NATS_URL",
        "DATABASE_URL",
        "AGENTNET_TOKEN",
        "AGENTNET_DATA_DIR",
        "AGENTNET_NATS_SERVER",
        "DEV_AUTH",
        "DEV_AUTH_KEY_DIR",
        "RUST_LOG",
        "LOG_LEVEL",
        "AGENTNET_LOG_FORMAT",
        "AGENTNET_METRICS_ADDR",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_SERVICE_NAME",
    ] {
        command.env_remove(name);
    }
    command.env("USER", "tester").kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = timeout(WAIT_TIMEOUT, command.output())
        .await
        .expect("the command hangs")
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `agentnet --nats-url URL ARGS…` to its end.
pub async fn agentnet<A: AsRef<OsStr>>(url: &str, arguments: impl IntoIterator<Item = A>) -> Ran {
    let mut command = binary();
    command.args(["--nats-url", url]).args(arguments);
    run(command).await
}

/// As [`agentnet`], with the words of a line as arguments.
pub async fn line(url: &str, words: &str) -> Ran {
    agentnet(url, words.split_whitespace()).await
}

/// Runs a line with this on its standard input.
pub async fn line_with_input(url: &str, words: &str, input: impl AsRef<[u8]>) -> Ran {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.as_ref()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = binary();
    command
        .args(["--nats-url", url])
        .args(words.split_whitespace())
        .stdin(file);
    run(command).await
}

/// A running command, with its lines on stdout; stderr goes to a file.
pub struct Service {
    child: Child,
    /// Absent where stdout goes to a file.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    stderr: PathBuf,
    _folder: TempDir,
}

impl Service {
    pub fn spawn(command: Command) -> Self {
        Self::spawn_onto(command, Stdio::piped())
    }

    /// As [`Service::spawn`], for a command with more output than the test reads at the time: stdout goes to this file.
    pub fn spawn_into(command: Command, stdout: File) -> Self {
        Self::spawn_onto(command, stdout.into())
    }

    fn spawn_onto(mut command: Command, stdout: Stdio) -> Self {
        let folder = TempDir::new().unwrap();
        let stderr = folder.path().join("stderr");
        command.stdout(stdout).stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Self {
            child,
            lines,
            stderr,
            _folder: folder,
        }
    }

    /// `agentnet --nats-url URL WORDS…`.
    pub fn line(url: &str, words: &str) -> Self {
        let mut command = binary();
        command.args(["--nats-url", url]).args(words.split_whitespace());
        Self::spawn(command)
    }

    /// The next line on stdout.
    pub async fn next_line(&mut self) -> String {
        let lines = self.lines.as_mut().expect("stdout is read here");
        match timeout(WAIT_TIMEOUT, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            other => panic!("no line on stdout: {other:?}; stderr: {}", self.stderr()),
        }
    }

    /// The next line on stdout as JSON.
    pub async fn next_json(&mut self) -> Value {
        let line = self.next_line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Everything on stdout that has not been read yet, up to its end.
    pub async fn rest(&mut self) -> Vec<String> {
        let lines = self.lines.as_mut().expect("stdout is read here");
        let mut rest = Vec::new();
        while let Some(line) = timeout(WAIT_TIMEOUT, lines.next_line())
            .await
            .expect("stdout stays open")
            .unwrap()
        {
            rest.push(line);
        }
        rest
    }

    /// Everything on stderr so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until stderr holds this text.
    pub async fn says(&self, text: &str) {
        let look = async || {
            let said = self.stderr();
            if said.contains(text) {
                Ok(())
            } else {
                Err(format!("no `{text}` in {said}"))
            }
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id().expect("it runs")).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        process::send_signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(WAIT_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("it does not end; stderr: {}", self.stderr()),
        }
    }
}

/// A port without a listener that no other test takes while this value lives.
pub struct FreePort(NatsServer);

impl FreePort {
    pub async fn take() -> Self {
        let mut server = NatsServer::builder().start().await.unwrap();
        server.stop().await;
        Self(server)
    }

    pub fn number(&self) -> u16 {
        self.0.port()
    }
}

/// A running `agentnet up` with a data directory and a port of its own.
pub struct Up {
    pub service: Service,
    /// What it said of itself.
    pub ready: Value,
    pub url: String,
    pub data: PathBuf,
    port: FreePort,
    folder: Option<TempDir>,
    pub database: Option<TestDatabase>,
}

impl Up {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more options.
    pub async fn start_with(options: &str) -> Self {
        let folder = TempDir::new().unwrap();
        // The file in the data directory is its own default.
        let database = match TestDatabase::kind() {
            "sqlite" => None,
            _ => Some(TestDatabase::start().await.unwrap()),
        };
        Self::run(folder, database, FreePort::take().await, options).await
    }

    async fn run(folder: TempDir, database: Option<TestDatabase>, port: FreePort, options: &str) -> Self {
        let data = folder.path().join("data");
        let mut command = Self::command(&data, &port.number().to_string());
        if let Some(database) = &database {
            command.arg("--database-url").arg(database.url());
        }
        command.args(options.split_whitespace());
        let mut service = Service::spawn(command);
        let ready = service.next_json().await;
        let url = ready["url"].as_str().unwrap().to_owned();
        Self {
            service,
            ready,
            url,
            data,
            port,
            folder: Some(folder),
            database,
        }
    }

    /// `agentnet --json up` there.
    pub fn command(data: &Path, port: &str) -> Command {
        let mut command = binary();
        command.args(["--json", "up", "--port", port, "--data-dir"]).arg(data);
        command.arg("--nats-server").arg(find_nats_server().unwrap());
        command
    }

    /// Process id of its nats-server as it was at the start.
    pub fn nats_pid(&self) -> i32 {
        i32::try_from(self.ready["nats_server"]["pid"].as_i64().unwrap()).unwrap()
    }

    /// Stops it with SIGTERM and expects a clean end.
    pub async fn stop(&mut self) {
        self.service.signal(Signal::TERM);
        let status = self.service.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.service.stderr());
    }

    /// Starts it again on the same data and port, after it has ended.
    pub async fn again(self) -> Self {
        self.again_with("").await
    }

    /// As [`Up::again`], with more options.
    pub async fn again_with(mut self, options: &str) -> Self {
        let folder = self.folder.take().unwrap();
        let database = self.database.take();
        Self::run(folder, database, self.port, options).await
    }
}

/// Runs a line until its JSON document satisfies the test.
pub async fn until(url: &str, words: &str, right: impl Fn(&Value) -> bool) -> Value {
    let look = async || {
        let ran = line(url, &format!("{words} --json")).await;
        match serde_json::from_str::<Value>(&ran.stdout) {
            Ok(document) if right(&document) => Ok(document),
            _ => Err(format!("{words}: {ran:?}")),
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap()
}

/// Starts an echo agent and waits until it is online.
pub async fn echo(url: &str, options: &str) -> Service {
    let service = Service::line(url, &format!("echo {options}"));
    service.says("is online as").await;
    service
}

/// How often each message id of a thread stands in the history.
pub async fn history(registry: &RegistryClient, thread: &str) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    let filters = MessageSearchFilters {
        thread_id: Some(thread.to_owned()),
        ..Default::default()
    };
    let mut request = MessageSearchRequest {
        filters,
        limit: 200,
        cursor: None,
    };
    loop {
        // A registry that has just lost its server is back a moment later.
        let ask = async || registry.call(&request).await;
        let page = eventually(WAIT_TIMEOUT, ask).await.unwrap();
        for message in page.messages {
            *found.entry(message.message_id).or_default() += 1;
        }
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return found,
        }
    }
}

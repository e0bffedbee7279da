//! A scripted provider of language models for one test.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::error::StartError;
use crate::port::PortLease;
use crate::process::{ServerProcess, log_tail};

const PROGRAM: &str = "aimock";
/// The longest wait until it accepts requests.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait for one answer of its control pages.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running aimock on 127.0.0.1: a server with the APIs of OpenAI and Anthropic whose answers a test writes down.
///
/// Dropping it kills it. `make aimock` installs it; it needs Node.js.
#[derive(Debug)]
pub struct Aimock {
    // Dropped in this order: the server must be gone before its folder is removed.
    process: ServerProcess,
    port: u16,
    _lease: PortLease,
    folder: TempDir,
}

impl Aimock {
    /// Starts it with these fixtures: a list of `{"match": {…}, "response": {…}}`, of which the first that matches answers.
    ///
    /// # Errors
    /// [`StartError`]: it is not installed, or it did not start (with its log).
    pub async fn start(fixtures: &Value) -> Result<Self, StartError> {
        let program = find()?;
        let folder = tempfile::Builder::new()
            .prefix("agentnet-aimock-")
            .tempdir()
            .map_err(StartError::io("make a temporary folder"))?;
        let scripts = folder.path().join("fixtures");
        let document = serde_json::json!({ "fixtures": fixtures });
        std::fs::create_dir(&scripts)
            .and_then(|()| std::fs::write(scripts.join("fixtures.json"), document.to_string()))
            .map_err(StartError::io("write the fixtures"))?;
        let lease = PortLease::take().map_err(StartError::io("find a free port"))?;
        let port = lease.port();
        let args = [
            program.to_string_lossy().into_owned(),
            "-p".to_owned(),
            port.to_string(),
            "-f".to_owned(),
            scripts.to_string_lossy().into_owned(),
        ];
        let log = folder.path().join("log");
        let process =
            ServerProcess::spawn(Path::new("node"), &args, &log, None).map_err(StartError::io("start node"))?;
        let mut server = Self {
            process,
            port,
            _lease: lease,
            folder,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far, oldest first: `{"path", "body", "headers", "response", …}` each.
    ///
    /// # Errors
    /// The I/O error of the connection, or of an answer that is not a list.
    pub async fn journal(&self) -> io::Result<Vec<Value>> {
        let (_, body) = self.call("GET", "/__aimock/journal", "").await?;
        serde_json::from_str(&body).map_err(io::Error::other)
    }

    /// The bodies of the requests to models so far, oldest first.
    ///
    /// # Errors
    /// As [`journal`](Self::journal).
    pub async fn requests(&self) -> io::Result<Vec<Value>> {
        let journal = self.journal().await?;
        Ok(journal.into_iter().map(|mut entry| entry["body"].take()).collect())
    }

    /// Adds fixtures behind those that there are.
    ///
    /// # Errors
    /// The I/O error of the connection, or one that holds the refusal.
    pub async fn add(&self, fixtures: &Value) -> io::Result<()> {
        let body = serde_json::json!({ "fixtures": fixtures }).to_string();
        self.post("/__aimock/fixtures", &body).await
    }

    /// Sets the share of requests that fail: `{"dropRate": 1}`, `malformedRate`, `disconnectRate`, `rateLimitRate`; `{}` for
    /// none.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn chaos(&self, rates: &Value) -> io::Result<()> {
        self.post("/__aimock/chaos", &rates.to_string()).await
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn post(&self, path: &str, body: &str) -> io::Result<()> {
        match self.call("POST", path, body).await? {
            (200..=299, _) => Ok(()),
            (status, body) => Err(io::Error::other(format!("{path}: {status} {body}"))),
        }
    }

    /// One request; gives status and body.
    async fn call(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        // HTTP/1.0, so that the answer is not cut into chunks and ends with the connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer = timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let answer = String::from_utf8(answer).map_err(io::Error::other)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP answer: {head}")))?;
        Ok((status, body.to_owned()))
    }

    async fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let end = Instant::now() + READY_TIMEOUT;
        while Instant::now() < end {
            if let Some(status) = self.process.ended().map_err(StartError::io("wait for aimock"))? {
                return Err(StartError::Ended {
                    program: PROGRAM,
                    status: status.to_string(),
                    log: log_tail(&self.log()),
                });
            }
            if let Ok((200, _)) = self.call("GET", "/__aimock/health", "").await {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
        Err(StartError::NotReady {
            program: PROGRAM,
            deadline: READY_TIMEOUT,
            log: log_tail(&self.log()),
        })
    }
}

/// The program in the checkout's `.tools/aimock`.
fn find() -> Result<PathBuf, StartError> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/aimock/node_modules/.bin/llmock");
    program.canonicalize().map_err(|_| StartError::NotFound {
        program: PROGRAM,
        looked: "looked in .tools/aimock of the checkout".to_owned(),
        hint: "run `make aimock`, which installs it",
    })
}

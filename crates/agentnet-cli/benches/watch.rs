//! What `agentnet watch` costs on a large network: `cargo bench -p agentnet-cli --bench watch`.
//!
//! The load is that of `top` (see there). `watch` runs with its output read through a pipe, as text, with receipts and as
//! JSON, and on a terminal. Printed are for each the share of a core that it took, its memory, how many lines it showed, and
//! how long after a marked message was published its line appeared. It fails where that is more than half a core, 100 MB
//! or a second, and where a message of the load is missing among the lines.
//!
//! `-- --agents 10000 --rate 2000 --seconds 15` are the defaults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod load;

use std::collections::HashMap;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use agentnet_protocol::subject;
use agentnet_testkit::{RawClient, eventually};
use async_nats::Client;
use harness::{Up, WAIT_TIMEOUT};
use load::{Load, Usage};
use pty_process::Size;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// So often a marked message is published.
const MARKS: Duration = Duration::from_millis(50);
/// What stands before the number of a marked message in its text.
const MARK: &str = "marked message ";

/// The lines that `watch` showed.
#[derive(Default)]
struct Shown {
    lines: u64,
    /// Messages of the load: the first, the last, and how many.
    load: Option<(usize, usize)>,
    of_load: usize,
    /// When each marked message appeared.
    marks: HashMap<usize, Instant>,
}

impl Shown {
    fn note(&mut self, line: &str) {
        self.lines += 1;
        if let Some(number) = line.split_once(load::TEXT).and_then(|(before, _)| last_number(before)) {
            self.of_load += 1;
            self.load = Some(match self.load {
                Some((first, last)) => (first.min(number), last.max(number)),
                None => (number, number),
            });
        } else if let Some((_, after)) = line.split_once(MARK) {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            self.marks.insert(after[..digits].parse().unwrap(), Instant::now());
        }
    }

    /// Messages of the load that lie between others and were not shown.
    fn missing(&self) -> usize {
        self.load.map_or(0, |(first, last)| last - first + 1 - self.of_load)
    }
}

fn last_number(text: &str) -> Option<usize> {
    text.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[tokio::main]
async fn main() -> ExitCode {
    let load = Load::read(15);
    let mut up = Up::start().await;
    let client = RawClient::connect(&up.url).await.unwrap();
    let senders = tokio::spawn(load.send(client.clone()));
    harness::until(&up.url, "metrics", |metrics| {
        metrics["online_sessions"].as_u64() >= Some(load.agents as u64)
    })
    .await;
    println!("agents {}, messages/s {}", load.agents, load.rate);
    let mut good = true;
    for (words, terminal) in [
        ("watch", false),
        ("watch --receipts", false),
        ("watch --json", false),
        ("watch", true),
    ] {
        println!("\n{words}{}", if terminal { " (on a terminal)" } else { "" });
        good &= measure(&up, &client, load, words, terminal).await;
    }
    senders.abort();
    up.stop().await;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs it for the time that was asked for; whether it stayed within its limits.
async fn measure(up: &Up, client: &Client, load: Load, words: &str, terminal: bool) -> bool {
    let (mut child, reader, mut lines) = spawn(up, words, terminal);
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let usage = Usage::of(pid);
    // It shows something: it has subscribed, and knows the names.
    tokio::time::timeout(WAIT_TIMEOUT, lines.wait_for(|lines| *lines > 100))
        .await
        .expect("lines appear")
        .unwrap();
    let mut published = Vec::new();
    let began = Instant::now();
    let mut tick = tokio::time::interval(MARKS);
    while began.elapsed() < Duration::from_secs(load.seconds) {
        tick.tick().await;
        let number = published.len();
        let marked = load::message(number, load.agents, &format!("{MARK}{number}"));
        let inbox = subject::inbox(marked.to_account_id.as_deref().unwrap());
        published.push(Instant::now());
        client.publish(inbox, marked.encode()).await.unwrap();
        client.flush().await.unwrap();
    }
    let (share, most) = usage.tell();
    // What was published last is shown, too.
    let so_far = *lines.borrow();
    let look = async || match *lines.borrow() {
        now if now >= so_far + 10 => Ok(()),
        now => Err(format!("{now} lines, and no more")),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    harness::process::send_signal(pid, Signal::INT);
    let ended = tokio::time::timeout(WAIT_TIMEOUT, child.wait())
        .await
        .expect("it ends")
        .unwrap();
    let shown = reader.await.unwrap();
    let mut delays: Vec<Duration> = published
        .iter()
        .enumerate()
        .filter_map(|(number, at)| Some(*shown.marks.get(&number)? - *at))
        .collect();
    delays.sort();
    let (median, slowest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!(
        "lines    {} shown; of the load {} messages, and {} are missing",
        shown.lines,
        shown.of_load,
        shown.missing()
    );
    println!(
        "marked   {} of {} shown, after {median:?} (median), {slowest:?} (slowest)",
        delays.len(),
        published.len()
    );
    ended.code() == Some(130)
        && share < 0.5
        && most < 100.0
        && slowest < Duration::from_secs(1)
        && delays.len() == published.len()
        && shown.missing() == 0
}

/// Starts it; its lines are read, and counted while they come.
fn spawn(up: &Up, words: &str, terminal: bool) -> (Child, JoinHandle<Shown>, watch::Receiver<u64>) {
    let mut command = harness::binary();
    command.args(["--nats-url", &up.url]).args(words.split(' '));
    let (count, lines) = watch::channel(0);
    if terminal {
        let (pty, inside) = pty_process::open().unwrap();
        pty.resize(Size::new(50, 200)).unwrap();
        let command = pty_process::Command::from(command).env("TERM", "xterm-256color");
        let child = command.spawn(inside).unwrap();
        return (child, tokio::spawn(read(pty, count)), lines);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    (child, tokio::spawn(read(stdout, count)), lines)
}

async fn read(output: impl AsyncRead + Unpin, count: watch::Sender<u64>) -> Shown {
    let mut output = BufReader::with_capacity(64 * 1024, output);
    let (mut shown, mut line) = (Shown::default(), Vec::new());
    // A terminal whose program has ended gives an error.
    while let Ok(1..) = output.read_until(b'\n', &mut line).await {
        shown.note(&String::from_utf8_lossy(&line));
        count.send_replace(shown.lines);
        line.clear();
    }
    shown
}

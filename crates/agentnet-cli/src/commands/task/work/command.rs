//! Runs the command for one task: the task on standard input, the result from standard output, progress from standard error.

use std::future::Future;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::RawJson;
use agentnet_protocol::task::MAX_RESULT_BYTES;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

use super::process::{CommandLine, Pipes, ProcessGroup};
use super::report::{MAX_LINE_BYTES, StderrLine, StderrTail};
use super::watchdog::Watchdog;

/// How long output may still come after the command has ended: what it started may have its pipes.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Debug)]
pub(super) enum CommandEnd {
    /// By itself.
    Exited(CommandOutput),
    /// It was stopped, as asked.
    Stopped,
    /// It did not start.
    NotStarted(io::Error),
}

/// The output of a command that ended by itself.
#[derive(Debug)]
pub(super) struct CommandOutput {
    pub(super) status: ExitStatus,
    pub(super) stdout: Captured,
    /// Its last lines on standard error.
    pub(super) tail: String,
}

/// What was captured of standard output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Captured {
    Whole(Vec<u8>),
    /// There was more than fits into a result.
    TooMuch,
}

/// Runs a command to its end, or until `stop`; then its process group gets `grace` to end. Lines of standard error go to
/// `lines`; where that is full, the command waits.
pub(super) async fn run(
    command: &CommandLine,
    watchdog: &Arc<Watchdog>,
    variables: &[(&str, String)],
    input: Vec<u8>,
    lines: mpsc::Sender<StderrLine>,
    grace: Duration,
    stop: impl Future<Output = ()>,
) -> CommandEnd {
    let (process, pipes) = match ProcessGroup::spawn(command, variables, watchdog) {
        Ok(spawned) => spawned,
        Err(error) => return CommandEnd::NotStarted(error),
    };
    let Pipes {
        mut stdin,
        stdout,
        stderr,
    } = pipes;
    let mut tail = StderrTail::default();
    let mut captured = Captured::Whole(Vec::new());
    let was_stopped = {
        let talk = async {
            let write = async {
                // A command that does not read its input closes it.
                let _ = stdin.write_all(&input).await;
                drop(stdin);
            };
            tokio::join!(
                capture(stdout, &mut captured),
                read_lines(stderr, &lines, &mut tail),
                write
            );
        };
        let mut talk = std::pin::pin!(talk);
        let exit = async {
            let mut ended = std::pin::pin!(process.ended());
            let mut is_silent = false;
            loop {
                tokio::select! {
                    () = &mut ended => break,
                    () = &mut talk, if !is_silent => is_silent = true,
                }
            }
            if !is_silent {
                // What it has started may still write, or keep the pipes open for ever.
                let _ = tokio::time::timeout(OUTPUT_GRACE, &mut talk).await;
            }
        };
        tokio::select! {
            () = exit => false,
            () = stop => true,
        }
    };
    if was_stopped {
        process.stop(grace).await;
        return CommandEnd::Stopped;
    }
    match process.reap().await {
        Ok(status) => CommandEnd::Exited(CommandOutput {
            status,
            stdout: captured,
            tail: tail.text(),
        }),
        Err(error) => CommandEnd::NotStarted(error),
    }
}

/// Reads standard output to its end, and keeps as much as fits into a result.
async fn capture(mut stdout: ChildStdout, captured: &mut Captured) {
    if let Captured::Whole(kept) = captured {
        // An error of a pipe is its end.
        while matches!(stdout.read_buf(kept).await, Ok(1..)) {
            if kept.len() > MAX_RESULT_BYTES {
                break;
            }
        }
        if kept.len() <= MAX_RESULT_BYTES {
            return;
        }
    }
    *captured = Captured::TooMuch;
    // The command must not block.
    let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
}

async fn read_lines(stderr: impl AsyncRead + Unpin, lines: &mpsc::Sender<StderrLine>, tail: &mut StderrTail) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut limited = (&mut reader).take(MAX_LINE_BYTES as u64);
        match limited.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_cut = bytes.last() != Some(&b'\n');
        let line = StderrLine::read(&bytes);
        if let StderrLine::Text(text) = &line {
            tail.push(text);
        }
        // Fails when nobody shows the lines any more.
        let _ = lines.send(line).await;
        if is_cut && skip_line(&mut reader).await.is_err() {
            return;
        }
    }
}

/// Skips the rest of a line that is too long.
async fn skip_line(reader: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(length);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// The result that standard output is: JSON if it is that, else text; nothing is null.
pub(super) fn result(stdout: &[u8]) -> RawJson {
    let text = String::from_utf8_lossy(stdout);
    let text = text.trim();
    if text.is_empty() {
        return RawJson::null();
    }
    RawJson::parse(text.to_owned()).unwrap_or_else(|_| text_json(text))
}

/// The text as a JSON string.
fn text_json(text: &str) -> RawJson {
    let json = serde_json::Value::String(text.to_owned()).to_string();
    RawJson::parse(json).unwrap_or_else(|_| RawJson::null())
}

#[cfg(test)]
mod tests;

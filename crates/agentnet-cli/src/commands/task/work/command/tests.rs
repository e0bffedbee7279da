//! Commands and their ends, with a real shell as the command.

use std::ffi::OsString;
use std::future::pending;
use std::os::unix::process::ExitStatusExt as _;

use agentnet_testkit::eventually;
use tokio::sync::oneshot;

use super::*;

const GRACE: Duration = Duration::from_secs(30);
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

fn shell(script: &str) -> CommandLine {
    CommandLine::find(&["sh", "-c", script].map(OsString::from)).unwrap()
}

/// Runs a script to its end. Returns its lines too.
async fn run_script(script: &str, input: &str) -> (CommandEnd, Vec<StderrLine>) {
    let (sender, mut receiver) = mpsc::channel(1_000);
    let command = shell(script);
    let variables = [("AGENTNET_TASK_ID", "task_1".to_owned())];
    let input = input.as_bytes().to_vec();
    let ended = run(&command, &Arc::default(), &variables, input, sender, GRACE, pending()).await;
    let mut lines = Vec::new();
    while let Ok(line) = receiver.try_recv() {
        lines.push(line);
    }
    (ended, lines)
}

fn output(ended: CommandEnd) -> CommandOutput {
    match ended {
        CommandEnd::Exited(output) => output,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_gets_its_task_and_gives_a_result() {
    let script = r#"cat; echo " $AGENTNET_TASK_ID"; echo '::progress 5 x' >&2; echo bad >&2; exit 3"#;
    let (ended, lines) = run_script(script, "in").await;
    let output = output(ended);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, Captured::Whole(b"in task_1\n".to_vec()));
    assert_eq!(output.tail, "bad");
    let progress = StderrLine::Progress {
        percent: Some(5),
        text: "x".into(),
    };
    assert_eq!(lines, [progress, StderrLine::Text("bad".into())]);
}

#[tokio::test]
async fn input_that_is_not_read_is_no_error() {
    let (ended, _) = run_script("exit 0", &"x".repeat(1_000_000)).await;
    assert_eq!(output(ended).status.code(), Some(0));
}

#[tokio::test]
async fn output_is_bounded() {
    let script = format!(
        "head -c {} /dev/zero; head -c 100000 /dev/zero | tr '\\0' x >&2; echo >&2; echo end >&2",
        MAX_RESULT_BYTES + 1
    );
    let (ended, lines) = run_script(&script, "").await;
    assert_eq!(output(ended).stdout, Captured::TooMuch);
    let lengths: Vec<usize> = lines
        .iter()
        .map(|line| match line {
            StderrLine::Text(text) => text.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [MAX_LINE_BYTES, 3]);
}

#[tokio::test]
async fn a_signal_is_told_as_the_end() {
    let (ended, _) = run_script("kill -9 $$", "").await;
    assert_eq!(output(ended).status.signal(), Some(9));
}

/// Waits until a process has gone, or is merely unburied.
async fn gone(pid: i32) {
    let look = async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().next());
        match state {
            None | Some("Z" | "X") => Ok(()),
            Some(state) => Err(format!("process {pid} is {state}")),
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
}

/// Stops a script once it has named a process on standard error; that process must end.
async fn stops(script: &str, grace: Duration) {
    let (sender, mut lines) = mpsc::channel(16);
    let (stop, stopped) = oneshot::channel::<()>();
    let command = shell(script);
    let watchdog = Arc::default();
    let running = run(&command, &watchdog, &[], Vec::new(), sender, grace, async {
        let _ = stopped.await;
    });
    let watch = async {
        let pid: i32 = match lines.recv().await {
            Some(StderrLine::Text(pid)) => pid.parse().unwrap(),
            other => panic!("{other:?}"),
        };
        stop.send(()).unwrap();
        pid
    };
    let (ended, pid) = tokio::join!(running, watch);
    assert!(matches!(ended, CommandEnd::Stopped), "{ended:?}");
    gone(pid).await;
}

#[tokio::test]
async fn what_a_command_has_started_is_stopped_with_it() {
    stops("sleep 1000 & echo $! >&2; wait", GRACE).await;
}

#[tokio::test]
async fn a_command_that_does_not_listen_is_killed() {
    let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >&2; while :; do sleep 1; done' & wait; wait";
    stops(script, Duration::from_millis(50)).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_command_that_ended_by_itself() {
    let (ended, lines) = run_script("sleep 1000 & echo $! >&2; echo done", "").await;
    assert_eq!(output(ended).stdout, Captured::Whole(b"done\n".to_vec()));
    let [StderrLine::Text(pid)] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    gone(pid.parse().unwrap()).await;
}

#[tokio::test]
async fn a_program_that_has_gone_does_not_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("tool");
    std::os::unix::fs::symlink("/bin/sh", &file).unwrap();
    let command = CommandLine::find(&[file.clone().into_os_string()]).unwrap();
    std::fs::remove_file(file).unwrap();
    let (sender, _lines) = mpsc::channel(1);
    let ended = run(&command, &Arc::default(), &[], Vec::new(), sender, GRACE, pending()).await;
    assert!(matches!(ended, CommandEnd::NotStarted(_)), "{ended:?}");
}

#[test]
fn standard_output_is_json_or_text() {
    for (stdout, json) in [
        ("", "null"),
        (" \n", "null"),
        ("{\"a\": 1.50}\n", "{\"a\": 1.50}"),
        ("42", "42"),
        ("two words\n", "\"two words\""),
        ("a\n\"b\"", "\"a\\n\\\"b\\\"\""),
    ] {
        assert_eq!(result(stdout.as_bytes()).get(), json, "{stdout:?}");
    }
    assert_eq!(result(b"\xff").get(), "\"\u{fffd}\"");
}

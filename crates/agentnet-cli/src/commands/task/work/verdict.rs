//! What the end of a command means for its task.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use agentnet_protocol::RawJson;
use agentnet_protocol::task::MAX_RESULT_BYTES;

use super::command::{self, Captured};

/// The exit code of a command for which another attempt may help: EX_TEMPFAIL of sysexits.h.
const EXIT_TEMPORARY: i32 = 75;
/// Characters of what a failure quotes.
const MAX_DETAIL_CHARS: usize = 2_000;

/// What became of a task.
pub(super) enum CommandVerdict {
    Result(RawJson),
    Failed {
        code: &'static str,
        detail: String,
        retryable: bool,
    },
}

/// The result of a command, or why there is none.
pub(super) fn judge(status: ExitStatus, stdout: Captured, tail: &str) -> CommandVerdict {
    let failed = |code: &'static str, how: String, retryable: bool| {
        let detail = match tail {
            "" => how,
            tail => format!("{how}: {tail}"),
        };
        CommandVerdict::Failed {
            code,
            detail: detail.chars().take(MAX_DETAIL_CHARS).collect(),
            retryable,
        }
    };
    match (status.code(), stdout) {
        (Some(0), Captured::Whole(bytes)) => {
            let result = command::result(&bytes);
            if result.get().len() <= MAX_RESULT_BYTES {
                return CommandVerdict::Result(result);
            }
            too_large()
        }
        (Some(0), Captured::TooMuch) => too_large(),
        (Some(EXIT_TEMPORARY), _) => failed("exit_75", "exit code 75".to_owned(), true),
        (Some(code), _) => failed("command_failed", format!("exit code {code}"), false),
        (None, _) => {
            let signal = status.signal().unwrap_or_default();
            failed("command_killed", format!("ended by signal {signal}"), false)
        }
    }
}

fn too_large() -> CommandVerdict {
    CommandVerdict::Failed {
        code: "result_too_large",
        detail: format!("the command printed more than {MAX_RESULT_BYTES} bytes: store the data and print where it is"),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(done: CommandVerdict) -> (&'static str, String, bool) {
        match done {
            CommandVerdict::Failed {
                code,
                detail,
                retryable,
            } => (code, detail, retryable),
            CommandVerdict::Result(result) => panic!("{}", result.get()),
        }
    }

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn exit_codes_decide() {
        let whole = || Captured::Whole(b"{}".to_vec());
        assert!(matches!(judge(exit(0), whole(), "noise"), CommandVerdict::Result(result) if result.get() == "{}"));
        assert_eq!(
            failure(judge(exit(75), whole(), "later")),
            ("exit_75", "exit code 75: later".to_owned(), true)
        );
        assert_eq!(
            failure(judge(exit(1), Captured::TooMuch, "")),
            ("command_failed", "exit code 1".to_owned(), false)
        );
        assert_eq!(
            failure(judge(ExitStatus::from_raw(9), whole(), "")),
            ("command_killed", "ended by signal 9".to_owned(), false)
        );
    }

    #[test]
    fn a_result_that_is_too_large_is_none() {
        assert_eq!(failure(judge(exit(0), Captured::TooMuch, "")).0, "result_too_large");
        // As JSON it is longer than it was printed.
        let quotes = Captured::Whole(vec![b'"'; MAX_RESULT_BYTES - 1]);
        assert_eq!(failure(judge(exit(0), quotes, "")).0, "result_too_large");
        let (_, detail, _) = failure(judge(exit(2), Captured::TooMuch, &"x".repeat(9_000)));
        assert_eq!(detail.chars().count(), MAX_DETAIL_CHARS);
    }
}

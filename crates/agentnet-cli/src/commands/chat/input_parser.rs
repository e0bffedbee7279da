//! Parsing typed lines: text and `/` commands.

use agentnet_protocol::target::Target;

use super::unusable;
use crate::did_you_mean;
use crate::exit::Failure;

/// Default number of messages of `/history`.
const DEFAULT_HISTORY: usize = 10;
/// Maximum number of messages of `/history`: a page of the registry.
const MAX_HISTORY: usize = 200;

/// The commands and their descriptions.
pub(super) const COMMANDS: [(&str, &str); 8] = [
    ("/help", "this list"),
    ("/agents", "who is online"),
    (
        "/to TARGET",
        "talk to another agent: @name, an account id, or capability:NAME",
    ),
    ("/showthread", "the thread that this conversation is in"),
    ("/thread ID", "go on in another thread"),
    ("/history [N]", "the last messages of the thread, 10 by default"),
    ("/raw", "switch between replies as text and as JSON envelopes"),
    ("/quit", "leave; Ctrl-D does too"),
];

/// A typed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Empty,
    Text(String),
    Command(ChatCommand),
    Quit,
}

/// A command, which is not sent to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChatCommand {
    Help,
    Agents,
    To(Target),
    ShowThread,
    Thread(String),
    History(usize),
    Raw,
}

/// Parses a line. A line that begins with `//` is sent with a single `/`.
pub(super) fn parse(text: &str) -> Result<Line, Failure> {
    let text = text.trim();
    let Some(rest) = text.strip_prefix('/') else {
        return Ok(match text {
            "" => Line::Empty,
            text => Line::Text(text.to_owned()),
        });
    };
    if rest.starts_with('/') {
        return Ok(Line::Text(rest.to_owned()));
    }
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    let command = match name {
        "quit" | "exit" | "q" => return Ok(Line::Quit),
        "help" | "?" => ChatCommand::Help,
        "agents" => ChatCommand::Agents,
        "to" => ChatCommand::To(target(argument)?),
        "showthread" => ChatCommand::ShowThread,
        "thread" if argument.is_empty() => {
            return Err(unusable("which thread?", "/thread ID; /showthread shows this one"));
        }
        "thread" => ChatCommand::Thread(argument.to_owned()),
        "history" => ChatCommand::History(count(argument)?),
        "raw" => ChatCommand::Raw,
        name => {
            let names = COMMANDS
                .iter()
                .filter_map(|(command, _)| command[1..].split(' ').next());
            let meant = did_you_mean::closest(name, names.map(str::to_owned));
            let meant = meant.map_or_else(String::new, |meant| format!("did you mean /{meant}? "));
            return Err(unusable(
                format!("there is no command /{name}"),
                &format!("{meant}/help lists the commands; // sends a line that begins with /"),
            ));
        }
    };
    Ok(Line::Command(command))
}

fn target(text: &str) -> Result<Target, Failure> {
    Target::parse_sdk(text)
        .map_err(|error| unusable(error.to_string(), "/to @name, /to acct_..., or /to capability:NAME"))
}

fn count(text: &str) -> Result<usize, Failure> {
    match text {
        "" => Ok(DEFAULT_HISTORY),
        text => match text.parse() {
            Ok(count @ 1..=MAX_HISTORY) => Ok(count),
            _ => Err(unusable(
                format!("`{text}` is no number from 1 to {MAX_HISTORY}"),
                "/history 20",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_said_and_commands_are_done() {
        let say = |text: &str| Ok(Line::Text(text.to_owned()));
        let command = |command| Ok(Line::Command(command));
        for (text, expected) in [
            ("  hello ", say("hello")),
            ("", Ok(Line::Empty)),
            ("//quit", say("/quit")),
            ("/quit", Ok(Line::Quit)),
            ("/help", command(ChatCommand::Help)),
            ("/agents", command(ChatCommand::Agents)),
            ("/showthread", command(ChatCommand::ShowThread)),
            ("/thread  ops_1 ", command(ChatCommand::Thread("ops_1".into()))),
            ("/history", command(ChatCommand::History(10))),
            ("/history 3", command(ChatCommand::History(3))),
            ("/raw", command(ChatCommand::Raw)),
            ("/to @bob", command(ChatCommand::To(Target::Username("bob".into())))),
            (
                "/to capability:chat",
                command(ChatCommand::To(Target::Capability("chat".into()))),
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (text, part) in [
            ("/fly", "there is no command /fly\nhint: /help"),
            ("/histroy 3", "did you mean /history? /help"),
            ("/thread", "which thread?"),
            ("/to", "target is required"),
            ("/history 0", "no number from 1 to 200"),
            ("/history many", "no number from 1 to 200"),
        ] {
            assert!(parse(text).unwrap_err().text().contains(part), "{text}");
        }
    }
}

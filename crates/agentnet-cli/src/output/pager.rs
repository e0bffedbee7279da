//! The pager for lists that are longer than the terminal.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::Output;
use crate::exit::Exit;

/// The pager, unless `AGENTNET_PAGER` or `PAGER` names another; empty or `cat` for none.
const DEFAULT_PAGER: &str = "less -FRX";

/// The character set that `less` expects.
const CHARSET_VARIABLE: &str = "LESSCHARSET";

impl Output {
    /// Prints a text, with the pager if it is longer than the terminal.
    pub(crate) fn page(self, text: &str) -> Result<(), Exit> {
        let height = self.height();
        let long = height.is_some_and(|height| text.lines().count() + 1 > height);
        if long
            && let Some(pager) = pager(|name| std::env::var(name).ok())
            && shown(&pager, text)
        {
            return Ok(());
        }
        Ok(self.line(text)?)
    }
}

/// The program and arguments of the pager; `None` for no pager.
fn pager(variable: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    let command = variable("AGENTNET_PAGER")
        .or_else(|| variable("PAGER"))
        .unwrap_or_else(|| DEFAULT_PAGER.to_owned());
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    Some(words).filter(|words| words.first().is_some_and(|word| word != "cat"))
}

/// The pager's command. In the C locale, `less` shows UTF-8 as bytes unless the character set is given.
fn command(pager: &[String], variable: impl Fn(&str) -> Option<String>) -> Option<Command> {
    let [program, arguments @ ..] = pager else { return None };
    let mut command = Command::new(program);
    command.args(arguments);
    if variable(CHARSET_VARIABLE).is_none_or(|charset| charset.is_empty()) {
        command.env(CHARSET_VARIABLE, "utf-8");
    }
    Some(command)
}

/// Runs the pager; `false` if it cannot be started.
fn shown(pager: &[String], text: &str) -> bool {
    let Some(mut command) = command(pager, |name| std::env::var(name).ok()) else {
        return false;
    };
    let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else {
        return false;
    };
    if let Some(mut stdin) = child.stdin.take() {
        // The user may close the pager early.
        let _ = stdin.write_all(text.as_bytes()).and_then(|()| stdin.write_all(b"\n"));
    }
    let _ = child.wait();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_reads_utf_8_whatever_the_locale() {
        let set = |charset: Option<&str>| {
            let command = command(&["less".to_owned()], |_| charset.map(str::to_owned)).unwrap();
            let set = command.get_envs().find(|(name, _)| *name == CHARSET_VARIABLE);
            set.and_then(|(_, value)| value.map(|value| value.to_string_lossy().into_owned()))
        };
        assert_eq!((set(None), set(Some(""))), (Some("utf-8".into()), Some("utf-8".into())));
        assert_eq!(set(Some("latin1")), None);
    }

    #[test]
    fn the_environment_names_the_pager() {
        let chosen = |ours: Option<&str>, general: Option<&str>| {
            let words = pager(|name| match name {
                "AGENTNET_PAGER" => ours.map(str::to_owned),
                _ => general.map(str::to_owned),
            });
            words.map(|words| words.join(" "))
        };
        assert_eq!(chosen(None, None).as_deref(), Some(DEFAULT_PAGER));
        assert_eq!(chosen(None, Some("more")).as_deref(), Some("more"));
        assert_eq!(chosen(Some("most -s"), Some("more")).as_deref(), Some("most -s"));
        assert_eq!(
            (chosen(Some(""), Some("more")), chosen(None, Some("cat"))),
            (None, None)
        );
    }
}

//! The terminal mode between two lines: typed keys are kept for the editor.

use std::io::stdin;

use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// The value of a special character that is disabled (`_POSIX_VDISABLE`).
const DISABLED_KEY: u8 = 0;

/// Keeps keys that are typed while the editor does not read: they are not echoed into an answer, not edited, and not discarded
/// by Ctrl-C, which is still a signal. Dropping this restores the terminal, even if the editor was left while it read a key.
#[derive(Debug)]
pub(super) struct TerminalMode(Option<Termios>);

impl TerminalMode {
    /// Sets the mode. Without a line editor, the terminal itself edits lines.
    pub(super) fn set(has_editor: bool) -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(mut kept) = before.clone() {
            kept.local_modes.insert(LocalModes::ISIG | LocalModes::NOFLSH);
            // Only Ctrl-C stays a signal: after the others the terminal would not be restored.
            for key in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
                kept.special_codes[key] = DISABLED_KEY;
            }
            if has_editor {
                kept.local_modes
                    .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN);
                kept.input_modes.remove(InputModes::ICRNL);
            }
            let _ = tcsetattr(stdin(), OptionalActions::Now, &kept);
        }
        Self(before)
    }
}

impl Drop for TerminalMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

//! The terminal between two lines: what is typed meanwhile waits for the editor.

use std::io::stdin;

use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// The key of a function that no key has (`_POSIX_VDISABLE`).
const DISABLED: u8 = 0;

/// While this lives, keys that are typed outside of the editor are kept as they are: not shown in the middle of an answer, not
/// edited, not thrown away by Ctrl-C, which is a signal all the same. Dropped, it puts the terminal back as it was, also
/// where the editor was left while it waited for a key.
#[derive(Debug)]
pub(super) struct TerminalMode(Option<Termios>);

impl TerminalMode {
    /// `edited` unless the terminal is too plain for an editor: then it edits its lines itself.
    pub(super) fn set(edited: bool) -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(mut kept) = before.clone() {
            kept.local_modes.insert(LocalModes::ISIG | LocalModes::NOFLSH);
            // Of the signals only Ctrl-C: after the others nobody would put the terminal back.
            for key in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
                kept.special_codes[key] = DISABLED;
            }
            if edited {
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

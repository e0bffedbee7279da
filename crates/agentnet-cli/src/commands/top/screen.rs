//! The terminal in full-screen mode, restored however the command ends.

use std::io::{self, BufWriter, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// Size of the write buffer: a frame is one write.
const WRITE_BUFFER_SIZE: usize = 64 * 1024;

/// Whether the terminal is in full-screen mode.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal in full-screen mode. Dropping it restores the terminal.
pub(crate) struct Screen {
    pub(crate) terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Enters full-screen mode.
    ///
    /// # Errors
    /// The terminal cannot be used; it is restored.
    pub(crate) fn take() -> io::Result<Self> {
        restore_on_panic();
        IS_TAKEN.store(true, Ordering::Release);
        let take = || {
            enable_raw_mode()?;
            execute!(io::stdout(), EnterAlternateScreen, Hide)?;
            Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(
                WRITE_BUFFER_SIZE,
                io::stdout(),
            )))
        };
        match take() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal, once. An error cannot be reported: the terminal is gone.
fn restore() {
    if IS_TAKEN.swap(false, Ordering::AcqRel) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Restores the terminal before a panic of the drawing thread is reported.
fn restore_on_panic() {
    let (tell, drawing) = (std::panic::take_hook(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == drawing {
            restore();
        }
        tell(panic);
    }));
}

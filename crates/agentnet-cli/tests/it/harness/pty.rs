//! The real binary on a terminal of its own: typed to, and read as a person would see it.

use std::num::NonZeroU16;
use std::process::ExitStatus;
use std::sync::Arc;

use agentnet_testkit::eventually;
use parking_lot::Mutex;
use pty_process::{OwnedReadPty, OwnedWritePty, Pts, Size};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::WAIT_TIMEOUT;

/// A program on a terminal.
pub struct Terminal {
    child: Child,
    keyboard: OwnedWritePty,
    screen: Arc<Mutex<vt100::Parser>>,
    /// The program's side stays open, so that the terminal can be looked at when the program has ended.
    inside: Pts,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts a command on a terminal of so many columns and rows.
    pub fn spawn(command: Command, columns: u16, rows: u16) -> Self {
        let (pty, inside) = pty_process::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let mut command = pty_process::Command::from(command).env("TERM", "xterm-256color");
        let child = command.spawn_borrowed(&inside).unwrap();
        let (output, keyboard) = pty.into_split();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 0)));
        let reader = tokio::spawn(read(output, screen.clone()));
        Self {
            child,
            keyboard,
            screen,
            inside,
            reader,
        }
    }

    /// Looks at the screen.
    pub fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.lock().screen())
    }

    /// The text on the screen, line by line.
    pub fn text(&self) -> String {
        self.look(vt100::Screen::contents)
    }

    /// The first line that contains the text.
    pub fn line_with(&self, part: &str) -> Option<String> {
        self.text().lines().find(|line| line.contains(part)).map(str::to_owned)
    }

    /// Types a text at once, faster than a person can.
    pub async fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).await.unwrap();
    }

    /// Types, and waits until the text is on the screen.
    pub async fn type_until(&mut self, keys: &str, text: &str) {
        self.type_text(keys).await;
        self.shows(text).await;
    }

    /// Types, and waits until the text has gone from the screen. An Escape must be followed by such a wait: a key that comes
    /// with it would mean something else.
    pub async fn type_until_gone(&mut self, keys: &str, text: &str) {
        self.type_text(keys).await;
        self.hides(text).await;
    }

    /// Changes the size of the terminal.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut screen = self.screen.lock();
        screen.screen_mut().set_size(cells(rows), cells(columns));
        self.keyboard.resize(Size::new(rows, columns)).unwrap();
    }

    /// Waits until the screen is right.
    pub async fn until(&self, what: &str, right: impl Fn(&Self) -> bool) {
        let look = async || match right(self) {
            true => Ok(()),
            false => Err(format!("not so: {what}; the screen:\n{}", self.text())),
        };
        if let Err(error) = eventually(WAIT_TIMEOUT, look).await {
            panic!("{error}");
        }
    }

    /// Waits until the text is on the screen.
    pub async fn shows(&self, text: &str) {
        self.until(&format!("shows `{text}`"), |terminal| terminal.text().contains(text))
            .await;
    }

    /// Waits until the text is no longer on the screen.
    pub async fn hides(&self, text: &str) {
        self.until(&format!("hides `{text}`"), |terminal| !terminal.text().contains(text))
            .await;
    }

    /// Waits until the terminal is as it was before: the normal screen, a cursor, lines that are edited and echoed.
    pub async fn restored(&self) {
        self.until("the terminal is restored", |terminal| {
            let modes = tcgetattr(&terminal.inside).unwrap().local_modes;
            let edits = modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            edits && terminal.look(|screen| !screen.alternate_screen() && !screen.hide_cursor())
        })
        .await;
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id().expect("it runs")).unwrap()
    }

    /// Waits for the program's end.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(WAIT_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("it does not end; the screen:\n{}", self.text()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut output: OwnedReadPty, screen: Arc<Mutex<vt100::Parser>>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = output.read(&mut bytes).await {
        let mut screen = screen.lock();
        screen.process(&bytes[..count]);
    }
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a terminal has a size")
}

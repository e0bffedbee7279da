//! The state of the user interface: view, filter, order, selection and open page; and how keys change it.

use std::time::Duration;

use super::keys::Key;
use super::messages::SeenMessage;
use super::rows::{self, AgentOrder, AgentRow, ListOptions, MessageOrder, ThreadOrder};
use super::state::State;
use super::threads::Thread;
use super::view::{Page, View};

/// Number of agents that count as visible at least.
const MIN_SHOWN_AGENTS: usize = 20;

/// The selected line of a list, and its scroll offset.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// The id of the selected line, which may move; `None` selects by index.
    key: Option<Box<str>>,
    pub(crate) index: usize,
    pub(crate) offset: usize,
}

/// The state of the user interface.
#[derive(Debug, Default)]
pub(crate) struct Ui {
    pub(crate) view: View,
    pub(crate) page: Option<Page>,
    pub(crate) help: bool,
    /// Whether keys edit the filter.
    pub(crate) typing: bool,
    pub(super) filters: [String; 3],
    pub(super) cursors: [Cursor; 3],
    pub(crate) order: AgentOrder,
    pub(crate) message_order: MessageOrder,
    pub(crate) thread_order: ThreadOrder,
    pub(super) reversed: [bool; 3],
    /// The first visible line of the page.
    pub(crate) scroll: usize,
    /// Visible lines of the list or page in the last frame.
    pub(crate) height: usize,
}

/// The action after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAction {
    Continue,
    Quit,
    /// As for Ctrl-C.
    Interrupt,
    /// Redraw the whole screen.
    Redraw,
}

impl Ui {
    /// The filter of the view.
    pub(crate) fn filter(&self) -> &str {
        &self.filters[self.view as usize]
    }

    /// Whether the order of the view is reversed.
    pub(crate) fn is_reversed(&self) -> bool {
        self.reversed[self.view as usize]
    }

    /// The name of the view's order.
    pub(crate) fn ordered_by(&self) -> &'static str {
        match self.view {
            View::Agents => self.order.title(),
            View::Messages => self.message_order.title(),
            View::Threads => self.thread_order.title(),
        }
    }

    fn list_options<O>(&self, order: O) -> ListOptions<'_, O> {
        ListOptions {
            filter: self.filter(),
            order,
            is_reversed: self.is_reversed(),
        }
    }

    /// The lines of the list of agents.
    pub(crate) fn agents<'a>(&self, state: &'a State, now: Duration) -> Vec<AgentRow<'a>> {
        rows::agents(state, self.list_options(self.order), now)
    }

    /// The lines of the list of threads.
    pub(crate) fn threads<'a>(&self, state: &'a State, now: Duration) -> Vec<(&'a str, &'a Thread)> {
        rows::threads(state, self.list_options(self.thread_order), now)
    }

    /// The lines of the list of messages.
    pub(crate) fn messages<'a>(&self, state: &'a State) -> Vec<&'a SeenMessage> {
        rows::messages(state, self.list_options(self.message_order))
    }

    /// Accounts of the lines of the list of agents that are visible; in other views of the first lines.
    pub(crate) fn shown_agents(&self, state: &State, now: Duration) -> Vec<String> {
        let ids = |rows: Vec<AgentRow<'_>>, offset: usize| {
            let shown = rows.iter().skip(offset).take(self.height.max(MIN_SHOWN_AGENTS));
            shown.map(|row| row.id.to_owned()).collect()
        };
        if self.view == View::Agents {
            return ids(self.agents(state, now), self.cursor().offset);
        }
        let all = ListOptions {
            filter: "",
            order: self.order,
            is_reversed: false,
        };
        ids(rows::agents(state, all, now), 0)
    }

    fn order_by_next(&mut self) {
        match self.view {
            View::Agents => self.order = self.order.next(),
            View::Messages => self.message_order = self.message_order.next(),
            View::Threads => self.thread_order = self.thread_order.next(),
        }
    }

    fn filter_mut(&mut self) -> &mut String {
        &mut self.filters[self.view as usize]
    }

    /// The selected line of the view.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursors[self.view as usize]
    }

    /// Moves the selection to the new place of the selected line, and scrolls the list so that it is visible.
    pub(crate) fn follow<'a>(&mut self, keys: impl ExactSizeIterator<Item = &'a str>, height: usize) {
        self.height = height;
        let count = keys.len();
        let cursor = &mut self.cursors[self.view as usize];
        if let Some(key) = &cursor.key {
            let mut keys = keys;
            match keys.position(|candidate| *candidate == **key) {
                Some(index) => cursor.index = index,
                None => cursor.key = None,
            }
        }
        cursor.index = cursor.index.min(count.saturating_sub(1));
        let first = (cursor.index + 1).saturating_sub(height.max(1));
        cursor.offset = cursor
            .offset
            .clamp(first, cursor.index.max(first))
            .min(count.saturating_sub(height));
    }

    /// Handles a key.
    pub(crate) fn press(&mut self, key: Key, state: &mut State, now: Duration) -> KeyAction {
        match key {
            Key::Interrupt => return KeyAction::Interrupt,
            Key::Redraw => return KeyAction::Redraw,
            _ if self.help => {
                self.help = false;
                return if key == Key::Char('q') {
                    KeyAction::Quit
                } else {
                    KeyAction::Continue
                };
            }
            _ if self.typing => {
                self.type_key(key);
                return KeyAction::Continue;
            }
            Key::Char('q') => return KeyAction::Quit,
            Key::Char('?') => self.help = true,
            Key::Char('1') => self.go(View::Agents),
            Key::Char('2') => self.go(View::Messages),
            Key::Char('3') => self.go(View::Threads),
            Key::Tab => self.go(View::ALL[(self.view as usize + 1) % 3]),
            Key::BackTab => self.go(View::ALL[(self.view as usize + 2) % 3]),
            Key::Escape | Key::Backspace => self.back(state),
            Key::Char('/') if self.page.is_none() => self.typing = true,
            Key::Char(' ') => state.messages.set_paused(!state.messages.is_paused()),
            Key::Char('s') if self.page.is_none() => self.order_by_next(),
            Key::Char('S') if self.page.is_none() => self.reversed[self.view as usize] ^= true,
            Key::Enter => self.open(state, now),
            Key::Up | Key::Char('k') => self.move_by(-1, state, now),
            Key::Down | Key::Char('j') => self.move_by(1, state, now),
            Key::PageUp => self.move_by(-self.leap(), state, now),
            Key::PageDown => self.move_by(self.leap(), state, now),
            Key::Home | Key::Char('g') => self.move_by(isize::MIN, state, now),
            Key::End | Key::Char('G') => self.move_by(isize::MAX, state, now),
            Key::Char(_) => {}
        }
        KeyAction::Continue
    }

    fn type_key(&mut self, key: Key) {
        match key {
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.filter_mut().clear();
                self.typing = false;
            }
            Key::Backspace => {
                self.filter_mut().pop();
            }
            // The limit is for accidental pastes.
            Key::Char(c) if self.filter().len() < 128 => self.filter_mut().push(c),
            _ => {}
        }
    }

    fn go(&mut self, view: View) {
        self.view = view;
        self.page = None;
        self.scroll = 0;
    }

    /// Leaves the page; on a list, clears the filter first, then the selection.
    fn back(&mut self, state: &mut State) {
        if self.page.take().is_some() {
            self.scroll = 0;
        } else if !self.filter().is_empty() {
            self.filter_mut().clear();
        } else {
            self.cursors[self.view as usize] = Cursor::default();
            if self.view == View::Messages {
                state.messages.set_paused(false);
            }
        }
    }

    fn leap(&self) -> isize {
        isize::try_from(self.height.max(2) - 1).unwrap_or(isize::MAX)
    }

    fn move_by(&mut self, by: isize, state: &mut State, now: Duration) {
        if self.page.is_some() {
            self.scroll = self.scroll.saturating_add_signed(by);
            return;
        }
        // Keeps the selected line in place.
        if self.view == View::Messages {
            state.messages.set_paused(true);
        }
        let index = self.cursor().index.saturating_add_signed(by);
        let (index, key) = match self.view {
            View::Agents => at(&self.agents(state, now), index, |row| Some(row.id)),
            View::Threads => at(&self.threads(state, now), index, |row| Some(row.0)),
            View::Messages => at(&self.messages(state), index, |_| None),
        };
        let cursor = &mut self.cursors[self.view as usize];
        cursor.index = index;
        cursor.key = key;
    }

    fn open(&mut self, state: &State, now: Duration) {
        if let Some(page) = &self.page {
            // Opens the thread of the message.
            if let Page::Message { thread, .. } = page {
                self.page = Some(Page::Thread(thread.clone()));
                self.scroll = 0;
            }
            return;
        }
        let index = self.cursor().index;
        self.page = match self.view {
            View::Agents => self
                .agents(state, now)
                .get(index)
                .map(|row| Page::Agent(row.id.to_owned())),
            View::Threads => self
                .threads(state, now)
                .get(index)
                .map(|(id, _)| Page::Thread((*id).to_owned())),
            View::Messages => self.messages(state).get(index).map(|message| Page::Message {
                id: message.id.to_string(),
                thread: message.thread.to_string(),
            }),
        };
        self.scroll = 0;
    }
}

/// The index, at most that of the last row, and the key of that row.
fn at<T>(rows: &[T], index: usize, key: impl Fn(&T) -> Option<&str>) -> (usize, Option<Box<str>>) {
    let index = index.min(rows.len().saturating_sub(1));
    (index, rows.get(index).and_then(key).map(Box::from))
}

#[cfg(test)]
mod tests;

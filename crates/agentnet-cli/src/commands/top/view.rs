//! The views of `top`: three lists, and pages of one agent, thread or message.

/// The three lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum View {
    #[default]
    Agents,
    Messages,
    Threads,
}

impl View {
    pub(crate) const ALL: [Self; 3] = [Self::Agents, Self::Messages, Self::Threads];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Agents => "Agents",
            Self::Messages => "Messages",
            Self::Threads => "Threads",
        }
    }
}

/// One agent, thread or message in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// By account id.
    Agent(String),
    /// By thread id.
    Thread(String),
    /// By message id, and the thread that it belongs to.
    Message { id: String, thread: String },
}

//! `agentnet top`: the live network on the whole terminal.
//!
//! [`feed`] subscribes to the network's messages on core NATS; [`registry_poller`] requests the rest from the registry; both
//! update [`state`], which does no I/O. Keys change [`ui`]. A few times a second, [`draw`] renders the two. All collections are
//! bounded, and the cost of a message does not depend on the number of agents.

mod agents;
mod draw;
mod feed;
mod keys;
mod mailbox_poller;
mod mailboxes;
mod messages;
mod poll_slot;
mod rate;
mod registry_poller;
mod rows;
mod screen;
mod snapshot;
mod state;
mod task_poller;
mod tasks;
mod threads;
mod ui;
mod view;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use agentnet::RegistryClient;
use clap::Args;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::connection::{check_observes, checked_url, nats_url};
use crate::exit::{Exit, Failure};
use crate::failures::connect_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::relative_time::now;
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;
use draw::{Moment, Theme};
use feed::NetworkFeed;
use keys::Key;
use registry_poller::RegistryPoller;
use screen::Screen;
use state::{Answer, State};
use ui::{KeyAction, Ui};

/// Interval at which received messages and answers are processed.
const TICK_INTERVAL: Duration = Duration::from_millis(50);
/// Minimum interval between two frames while only the network changes.
const FRAME_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between two frames while nothing happens, to update ages and rates.
const IDLE_FRAME_INTERVAL: Duration = Duration::from_secs(1);
/// Start value of the stopwatch. It is not zero, so that events before the start have a time too.
const STOPWATCH_START: Duration = Duration::from_secs(86_400);
/// Capacity of the queue of registry answers.
const ANSWER_QUEUE_CAPACITY: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print what it shows after two seconds as plain text, and end; of agents whose hello (every 12 s by default) did not
    /// come meanwhile, in-flight and pending messages are not known
    #[arg(long)]
    once: bool,
}

impl Top {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        if output.is_json() {
            let failure = Failure::refused("top draws a screen and has no JSON");
            return Err(failure.hint("use list, threads, metrics or watch with --json").into());
        }
        let is_terminal = output.is_terminal() && std::io::stdin().is_terminal();
        if !self.once && !is_terminal {
            let failure = Failure::refused("top needs a terminal to draw on and to read keys from");
            return Err(failure.hint("--once prints one picture of it as text").into());
        }
        check_observes(global)?;
        let url = nats_url(global);
        let mut signals = StopSignals::listen()?;
        let work = async {
            let network = Network::open(&url, output).await?;
            match self.once {
                true => snapshot::print(network, output).await,
                false => live(network, output).await,
            }
        };
        // However it ends, dropping the work drops the screen, which restores the terminal.
        signals.unless(work).await
    }
}

/// The sources of information, and the state that is known from them.
struct Network {
    feed: NetworkFeed,
    poller: RegistryPoller,
    answers: mpsc::Receiver<Answer>,
    state: State,
    began: Instant,
    swept: Duration,
}

impl Network {
    async fn open(text: &str, output: Output) -> Result<Self, Exit> {
        let url = checked_url(text)?;
        let spinner = Spinner::start(output, format!("connecting to {}", url.redacted()));
        // Registry calls use another connection, so that this one receives observed messages only.
        let registry = RegistryClient::connect(text).await.map_err(connect_failure)?;
        let feed = NetworkFeed::open(&url).await?;
        spinner.end();
        let (sender, answers) = mpsc::channel(ANSWER_QUEUE_CAPACITY);
        let mut state = State::default();
        state.link.url = url.redacted();
        Ok(Self {
            feed,
            poller: RegistryPoller::new(registry, sender),
            answers,
            state,
            began: Instant::now(),
            swept: STOPWATCH_START,
        })
    }

    fn moment(&self) -> Moment {
        Moment {
            at: now(),
            now: STOPWATCH_START + self.began.elapsed(),
        }
    }

    /// Processes received messages and answers, and sends requests that are due. Returns whether anything changed.
    fn tick(&mut self, ui: &Ui) -> bool {
        let Moment { at, now } = self.moment();
        let mut came = self.feed.drain(|message| self.state.apply(message, at, now));
        self.state.settle();
        while let Ok(answer) = self.answers.try_recv() {
            self.state.answer(answer, at, now);
            came = true;
        }
        let lost = self.feed.is_lost();
        came |= lost != self.state.link.lost;
        self.state.link.lost = lost;
        self.state.link.dropped = self.feed.dropped();
        if now.saturating_sub(self.swept) >= IDLE_FRAME_INTERVAL {
            self.swept = now;
            self.state.sweep(now);
        }
        if !lost {
            self.poller.ask(&mut self.state, ui, self.feed.connects(), now);
        }
        came
    }
}

/// Shows the screen until a key or a signal ends it.
async fn live(mut network: Network, output: Output) -> Result<(), Exit> {
    let theme = Theme::new(output.is_colored());
    let failed = |error: std::io::Error| Failure::error(format!("the terminal cannot be used: {error}"));
    let mut screen = Screen::take().map_err(failed)?;
    let mut ui = Ui::default();
    let mut events = EventStream::new();
    let mut ticks = tokio::time::interval(TICK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Changes that are not on the screen yet: from the network, from keys.
    let (mut has_news, mut has_input) = (false, true);
    let mut drawn: Option<Instant> = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Key(event))) => {
                    let now = network.moment().now;
                    match Key::of(event).map(|key| ui.press(key, &mut network.state, now)) {
                        None => continue,
                        Some(KeyAction::Continue) => {}
                        Some(KeyAction::Quit) => return Ok(()),
                        Some(KeyAction::Interrupt) => return Err(Exit::Interrupted),
                        Some(KeyAction::Redraw) => screen.terminal.clear().map_err(failed)?,
                    }
                    has_input = true;
                }
                Some(Ok(_)) => has_input = true,
                Some(Err(error)) => return Err(failed(error).into()),
                None => return Err(Exit::HungUp),
            },
            _ = ticks.tick() => has_news |= network.tick(&ui),
        }
        let since = drawn.map_or(IDLE_FRAME_INTERVAL, |drawn| drawn.elapsed());
        let due =
            has_input && since >= TICK_INTERVAL || has_news && since >= FRAME_INTERVAL || since >= IDLE_FRAME_INTERVAL;
        if due {
            let moment = network.moment();
            let draw = |frame: &mut ratatui::Frame<'_>| {
                let area = frame.area();
                draw::draw(&network.state, &mut ui, moment, theme, area, frame.buffer_mut());
            };
            screen.terminal.draw(draw).map_err(failed)?;
            (has_news, has_input) = (false, false);
            drawn = Some(Instant::now());
        }
    }
}

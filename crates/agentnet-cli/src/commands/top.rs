//! `agentnet top`: the network, live, on the whole terminal.
//!
//! What passes is heard on core NATS by [`feed`]; [`registry_poller`] asks the registry for what only it knows; both end in [`state`],
//! which does no I/O. Keys change [`ui`]. A few times a second [`draw`] makes a screen of the two. Everything that is kept is
//! bounded, and a message costs the same however many agents there are.

mod agents;
mod draw;
mod feed;
mod keys;
mod messages;
mod rate;
mod registry_poller;
mod rows;
mod screen;
mod snapshot;
mod state;
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

use crate::connection::{checked_url, nats_url};
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
use ui::{Then, Ui};

/// How often what has come is taken in.
const BEAT: Duration = Duration::from_millis(50);
/// How often the screen is drawn at most while only the network changes.
const FRAME: Duration = Duration::from_millis(200);
/// How often ages and rates are drawn anew while nothing happens.
const IDLE_FRAME: Duration = Duration::from_secs(1);
/// The stopwatch does not begin at zero, so that what was before has a time too.
const BEFORE: Duration = Duration::from_secs(86_400);
/// Answers of the registry that may wait.
const ANSWERS: usize = 8;

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
        let url = nats_url(global);
        let mut signals = StopSignals::listen()?;
        let work = async {
            let network = Network::open(&url, output).await?;
            match self.once {
                true => snapshot::print(network, output).await,
                false => live(network, output).await,
            }
        };
        // Whichever way it ends, the screen is dropped with the work, which gives the terminal back.
        signals.unless(work).await
    }
}

/// Everything that is heard and asked, and what is known from it.
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
        // AccountNames are asked for on another connection, so that what comes on this one is what is heard.
        let registry = RegistryClient::connect(text).await.map_err(connect_failure)?;
        let feed = NetworkFeed::open(&url).await?;
        spinner.end();
        let (sender, answers) = mpsc::channel(ANSWERS);
        let mut state = State::default();
        state.link.url = url.redacted();
        Ok(Self {
            feed,
            poller: RegistryPoller::new(registry, sender),
            answers,
            state,
            began: Instant::now(),
            swept: BEFORE,
        })
    }

    fn moment(&self) -> Moment {
        Moment {
            at: now(),
            now: BEFORE + self.began.elapsed(),
        }
    }

    /// Takes in everything that has come, and asks what is due; whether there was something.
    fn beat(&mut self, ui: &Ui) -> bool {
        let Moment { at, now } = self.moment();
        let mut came = self.feed.drain(|message| self.state.hear(message, at, now));
        self.state.settle();
        while let Ok(answer) = self.answers.try_recv() {
            self.state.answer(answer, at, now);
            came = true;
        }
        let lost = self.feed.is_lost();
        came |= lost != self.state.link.lost;
        self.state.link.lost = lost;
        self.state.link.dropped = self.feed.dropped();
        if now.saturating_sub(self.swept) >= IDLE_FRAME {
            self.swept = now;
            self.state.sweep(now);
        }
        if !lost {
            self.poller.ask(&self.state, ui, self.feed.connects(), now);
        }
        came
    }
}

/// Shows it until a key or a signal ends it.
async fn live(mut network: Network, output: Output) -> Result<(), Exit> {
    let theme = Theme::new(output.is_colored());
    let failed = |error: std::io::Error| Failure::trouble(format!("the terminal cannot be used: {error}"));
    let mut screen = Screen::take().map_err(failed)?;
    let mut ui = Ui::default();
    let mut events = EventStream::new();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What is not on the screen yet: something came, or was touched.
    let (mut came, mut touched) = (false, true);
    let mut drawn: Option<Instant> = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Key(event))) => {
                    let now = network.moment().now;
                    match Key::of(event).map(|key| ui.press(key, &mut network.state, now)) {
                        None => continue,
                        Some(Then::GoOn) => {}
                        Some(Then::Quit) => return Ok(()),
                        Some(Then::Interrupt) => return Err(Exit::Interrupted),
                        Some(Then::Redraw) => screen.terminal.clear().map_err(failed)?,
                    }
                    touched = true;
                }
                Some(Ok(_)) => touched = true,
                Some(Err(error)) => return Err(failed(error).into()),
                None => return Err(Exit::HungUp),
            },
            _ = beat.tick() => came |= network.beat(&ui),
        }
        let since = drawn.map_or(IDLE_FRAME, |drawn| drawn.elapsed());
        let due = touched && since >= BEAT || came && since >= FRAME || since >= IDLE_FRAME;
        if due {
            let moment = network.moment();
            let draw = |frame: &mut ratatui::Frame<'_>| {
                let area = frame.area();
                draw::draw(&network.state, &mut ui, moment, theme, area, frame.buffer_mut());
            };
            screen.terminal.draw(draw).map_err(failed)?;
            (came, touched) = (false, false);
            drawn = Some(Instant::now());
        }
    }
}

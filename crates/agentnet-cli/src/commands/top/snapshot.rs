//! `agentnet top --once`: a snapshot as text.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::draw::{self, Moment, Theme};
use super::state::{RegistryStatus, State};
use super::ui::Ui;
use super::view::View;
use super::{Network, TICK_INTERVAL};
use crate::exit::Exit;
use crate::output::Output;

/// Observation time: rates need a while to be measured.
const OBSERVATION_TIME: Duration = Duration::from_secs(2);
/// Timeout of the registry's answers.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Width of the text without a terminal.
const DEFAULT_WIDTH: u16 = 100;
/// Maximum number of lines of a list.
const MAX_LIST_LINES: u16 = 20;

/// Observes the network for a while and prints the three lists.
pub(super) async fn print(mut network: Network, output: Output) -> Result<(), Exit> {
    // This view makes the poller request the threads.
    let mut ui = Ui {
        view: View::Threads,
        ..Ui::default()
    };
    let began = network.moment().now;
    loop {
        network.tick(&ui);
        let looked = network.moment().now.saturating_sub(began);
        let asked = !matches!(network.state.registry, RegistryStatus::Unasked);
        if looked >= OBSERVATION_TIME && (asked || looked >= REGISTRY_TIMEOUT) {
            break;
        }
        tokio::time::sleep(TICK_INTERVAL).await;
    }
    let width = match output.is_terminal() {
        true => crossterm::terminal::size().map_or(DEFAULT_WIDTH, |(width, _)| width),
        false => DEFAULT_WIDTH,
    };
    Ok(output.line(text(&network.state, &mut ui, network.moment(), width))?)
}

/// The three lists below each other.
fn text(state: &State, ui: &mut Ui, moment: Moment, width: u16) -> String {
    let mut lines = Vec::new();
    for view in View::ALL {
        ui.view = view;
        let area = Rect::new(0, 0, width, draw::HEADER_HEIGHT + 1 + MAX_LIST_LINES + 1);
        let mut buffer = Buffer::empty(area);
        draw::draw(state, ui, moment, Theme::new(false), area, &mut buffer);
        let line = |y: u16| -> String {
            let mut text = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                text.push_str(symbol);
                // A wide character covers the next cell too.
                x += u16::try_from(Span::raw(symbol).width()).unwrap_or(1).max(1);
            }
            text.trim_end().to_owned()
        };
        if lines.is_empty() {
            lines.extend([line(0), line(1)]);
        }
        lines.extend([String::new(), view.title().to_uppercase()]);
        let list: Vec<_> = (draw::HEADER_HEIGHT..area.height - 1).map(line).collect();
        let used = list
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        lines.extend(list.into_iter().take(used));
    }
    lines.join("\n")
}

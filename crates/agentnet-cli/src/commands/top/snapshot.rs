//! `agentnet top --once`: what is known after a short while, as text.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::draw::{self, Moment, Theme};
use super::state::{RegistryStatus, State};
use super::ui::Ui;
use super::view::View;
use super::{BEAT, Network};
use crate::exit::Exit;
use crate::output::Output;

/// How long it looks: rates need something to be measured on.
const LOOK: Duration = Duration::from_secs(2);
/// How long it waits for a registry that is slow to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How wide the text is where no terminal says it.
const WIDTH: u16 = 100;
/// Lines that a list has at most.
const LINES: u16 = 20;

/// Looks for a while, prints the three lists, and ends.
pub(super) async fn print(mut network: Network, output: Output) -> Result<(), Exit> {
    // The registry is asked for what is on the screen: the threads.
    let mut ui = Ui {
        view: View::Threads,
        ..Ui::default()
    };
    let began = network.moment().now;
    loop {
        network.beat(&ui);
        let looked = network.moment().now.saturating_sub(began);
        let asked = !matches!(network.state.registry, RegistryStatus::Unasked);
        if looked >= LOOK && (asked || looked >= PATIENCE) {
            break;
        }
        tokio::time::sleep(BEAT).await;
    }
    let width = match output.is_terminal() {
        true => crossterm::terminal::size().map_or(WIDTH, |(width, _)| width),
        false => WIDTH,
    };
    Ok(output.line(text(&network.state, &mut ui, network.moment(), width))?)
}

/// The three lists below each other.
fn text(state: &State, ui: &mut Ui, moment: Moment, width: u16) -> String {
    let mut lines = Vec::new();
    for view in View::ALL {
        ui.view = view;
        let area = Rect::new(0, 0, width, draw::HEAD + 1 + LINES + 1);
        let mut buffer = Buffer::empty(area);
        draw::draw(state, ui, moment, Theme::new(false), area, &mut buffer);
        let line = |y: u16| -> String {
            let mut text = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                text.push_str(symbol);
                // A wide character has the cell behind it too.
                x += u16::try_from(Span::raw(symbol).width()).unwrap_or(1).max(1);
            }
            text.trim_end().to_owned()
        };
        if lines.is_empty() {
            lines.extend([line(0), line(1)]);
        }
        lines.extend([String::new(), view.title().to_uppercase()]);
        let list: Vec<_> = (draw::HEAD..area.height - 1).map(line).collect();
        let used = list
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        lines.extend(list.into_iter().take(used));
    }
    lines.join("\n")
}

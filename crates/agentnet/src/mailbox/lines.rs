//! Waiting lines: who has entered one goes on when all who entered before have left (PROTOCOL.md section 21.2, step 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use agentnet_protocol::Text;
use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// One line for each key. A line takes room only while somebody is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<AHashMap<Text, Line>>>);

#[derive(Debug, Default)]
struct Line {
    /// The number of the next who enters.
    next: u64,
    /// Who is in the line, in order, and how to wake the ones that wait.
    places: BTreeMap<u64, Option<oneshot::Sender<()>>>,
}

/// A place in a line, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lines: Lines,
    key: Text,
    number: u64,
}

impl Lines {
    /// Enters the line of a key, at its end.
    pub(crate) fn enter(&self, key: Text) -> Place {
        let mut lines = self.0.lock();
        let line = lines.entry(key.clone()).or_default();
        let number = line.next;
        line.next += 1;
        line.places.insert(number, None);
        Place {
            lines: self.clone(),
            key,
            number,
        }
    }
}

impl Place {
    /// Waits until all who entered before have left.
    pub(crate) async fn first(&self) {
        let woken = {
            let mut lines = self.lines.0.lock();
            let Some(line) = lines.get_mut(&self.key) else { return };
            let is_first = line.places.keys().next() == Some(&self.number);
            let (wake, woken) = oneshot::channel();
            match line.places.get_mut(&self.number) {
                Some(place) if !is_first => *place = Some(wake),
                _ => return,
            }
            woken
        };
        let _ = woken.await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.0.lock();
        let Some(line) = lines.get_mut(&self.key) else { return };
        line.places.remove(&self.number);
        match line.places.iter_mut().next() {
            None => {
                lines.remove(&self.key);
            }
            Some((number, wake)) if *number > self.number => {
                if let Some(wake) = wake.take() {
                    let _ = wake.send(());
                }
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn each_goes_on_when_all_before_have_left() {
        let lines = Lines::default();
        let enter = || lines.enter("a".into());
        let (first, second, third) = (enter(), enter(), enter());
        let other = lines.enter("b".into());
        assert!(first.first().now_or_never().is_some() && other.first().now_or_never().is_some());
        let mut waiting = Box::pin(third.first());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(second);
        assert!(waiting.as_mut().now_or_never().is_none(), "the first is there still");
        drop(first);
        assert!(waiting.now_or_never().is_some());
        assert!(third.first().now_or_never().is_some(), "it stays the first");
        drop((third, other));
        assert!(lines.0.lock().is_empty());
    }

    #[test]
    fn one_that_gives_up_waiting_keeps_its_place() {
        let lines = Lines::default();
        let (first, second) = (lines.enter("a".into()), lines.enter("a".into()));
        assert!(second.first().now_or_never().is_none());
        let third = lines.enter("a".into());
        drop(first);
        assert!(third.first().now_or_never().is_none());
        assert!(second.first().now_or_never().is_some());
    }
}

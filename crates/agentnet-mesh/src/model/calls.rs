//! The tool calls of one answer, while their pieces come in.

use crate::model::{ChatEvent, ModelError, ModelErrorKind};

/// Tool calls of one answer at most.
const MAX_CALLS: usize = 128;

/// Numbers the calls of an answer, and gives out their pieces in the right order.
#[derive(Debug, Default)]
pub(crate) struct CallTracker {
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// What the API calls it by: an index, or the id of an item.
    key: String,
    /// The id as the provider gave it.
    given_id: String,
    /// The id as it is given out: never empty, and different from those of the other calls.
    id: String,
    is_announced: bool,
    has_arguments: bool,
    /// Arguments that came before the name.
    held: String,
}

impl CallTracker {
    /// A call begins. Without a name it is held back until [`CallTracker::set_name`].
    pub(crate) fn begin(
        &mut self,
        key: &str,
        id: &str,
        name: &str,
        out: &mut Vec<ChatEvent>,
    ) -> Result<usize, ModelError> {
        let index = self.calls.len();
        if index == MAX_CALLS {
            let message = format!("the answer has more than {MAX_CALLS} tool calls");
            return Err(ModelError::new(ModelErrorKind::Malformed, message));
        }
        self.calls.push(Call {
            key: key.to_owned(),
            given_id: id.to_owned(),
            id: self.unique_id(id, index),
            is_announced: false,
            has_arguments: false,
            held: String::new(),
        });
        if !name.is_empty() {
            self.announce(index, name, out);
        }
        Ok(index)
    }

    /// The newest call with this key.
    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.calls.iter().rposition(|call| call.key == key)
    }

    /// The call that the provider gave this id.
    pub(crate) fn find_id(&self, id: &str) -> Option<usize> {
        self.calls
            .iter()
            .rposition(|call| !id.is_empty() && call.given_id == id)
    }

    /// The newest call.
    pub(crate) fn last(&self) -> Option<usize> {
        self.calls.len().checked_sub(1)
    }

    /// Whether the provider gave the call an id that is different from this one.
    pub(crate) fn has_other_id(&self, index: usize, id: &str) -> bool {
        self.calls
            .get(index)
            .is_some_and(|call| !call.given_id.is_empty() && call.given_id != id)
    }

    /// The name of a call that began without one.
    pub(crate) fn set_name(&mut self, index: usize, name: &str, out: &mut Vec<ChatEvent>) {
        if self.calls.get(index).is_some_and(|call| !call.is_announced) && !name.is_empty() {
            self.announce(index, name, out);
        }
    }

    /// More arguments of a call.
    pub(crate) fn push_arguments(&mut self, index: usize, fragment: &str, out: &mut Vec<ChatEvent>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        if fragment.is_empty() {
            return;
        }
        call.has_arguments = true;
        if call.is_announced {
            out.push(ChatEvent::ToolCallArguments {
                index,
                fragment: fragment.to_owned(),
            });
        } else {
            call.held.push_str(fragment);
        }
    }

    /// All arguments of a call, from APIs that repeat them at its end: given out only if no pieces of them came.
    pub(crate) fn set_arguments(&mut self, index: usize, arguments: &str, out: &mut Vec<ChatEvent>) {
        if self.calls.get(index).is_some_and(|call| !call.has_arguments) {
            self.push_arguments(index, arguments, out);
        }
    }

    /// The answer is complete: gives out the calls that never got a name, so that they are answered by an error.
    pub(crate) fn finish(&mut self, out: &mut Vec<ChatEvent>) {
        for index in 0..self.calls.len() {
            if !self.calls[index].is_announced {
                self.announce(index, "", out);
            }
        }
    }

    /// Whether the answer has no tool calls.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn announce(&mut self, index: usize, name: &str, out: &mut Vec<ChatEvent>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        call.is_announced = true;
        out.push(ChatEvent::ToolCallStart {
            index,
            id: call.id.clone(),
            name: name.to_owned(),
        });
        if !call.held.is_empty() {
            out.push(ChatEvent::ToolCallArguments {
                index,
                fragment: std::mem::take(&mut call.held),
            });
        }
    }

    fn unique_id(&self, id: &str, index: usize) -> String {
        if id.is_empty() || self.calls.iter().any(|call| call.id == id) {
            return format!("call_{index}_{:08x}", rand::random::<u32>());
        }
        id.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{CallTracker, MAX_CALLS};
    use crate::model::ChatEvent;

    #[test]
    fn a_call_is_held_back_until_its_name_is_known() {
        let mut calls = CallTracker::default();
        let mut out = Vec::new();
        let index = calls.begin("0", "a", "", &mut out).unwrap();
        calls.push_arguments(index, "{\"x\":", &mut out);
        assert_eq!(out, []);
        calls.set_name(index, "ask", &mut out);
        calls.set_name(index, "ask", &mut out);
        calls.push_arguments(index, "1}", &mut out);
        calls.set_arguments(index, "{\"x\":1}", &mut out);
        calls.finish(&mut out);
        let expected = [
            ChatEvent::ToolCallStart {
                index: 0,
                id: "a".into(),
                name: "ask".into(),
            },
            ChatEvent::ToolCallArguments {
                index: 0,
                fragment: "{\"x\":".into(),
            },
            ChatEvent::ToolCallArguments {
                index: 0,
                fragment: "1}".into(),
            },
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn every_call_has_an_id_of_its_own() {
        let mut calls = CallTracker::default();
        let mut out = Vec::new();
        for id in ["a", "a", "", ""] {
            calls.begin("0", id, "ask", &mut out).unwrap();
        }
        let ids: std::collections::BTreeSet<_> = out
            .iter()
            .filter_map(|event| match event {
                ChatEvent::ToolCallStart { id, .. } => Some(id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.contains("a") && !ids.contains(""));
    }

    #[test]
    fn too_many_calls_are_refused() {
        let mut calls = CallTracker::default();
        let mut out = Vec::new();
        for _ in 0..MAX_CALLS {
            calls.begin("0", "", "ask", &mut out).unwrap();
        }
        assert!(calls.begin("0", "", "ask", &mut out).is_err());
    }
}

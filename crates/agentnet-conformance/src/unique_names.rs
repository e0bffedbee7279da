//! Unique names and ids: a run adds its random letters to the texts that a step file lists.

use agentnet_protocol::Cursor;
use rand::RngExt;
use serde_json::Value;

/// Excludes digits and the letters of texts that steps search for, so that no search finds a run's letters by accident.
const LETTERS: &[u8] = b"cdfghjkmpqrtvwxy";
/// Excludes `5`, which a step searches for.
const DIGITS: &[u8] = b"01234678";
const SUFFIX_LENGTH: usize = 6;

/// The random letters and digits that a run appends to names and numbers.
#[derive(Debug, Clone)]
pub(crate) struct RunSuffix {
    letters: String,
    digits: String,
}

/// The texts and numbers of a step file that get the run's suffix.
#[derive(Debug, Clone, Default)]
pub(crate) struct UniqueNames {
    /// Longest first, so that `ghost2` matches before `ghost`.
    texts: Vec<String>,
    /// Numbers, with the names of their members.
    numbers: Vec<(String, i64)>,
}

impl RunSuffix {
    pub(crate) fn random() -> Self {
        let mut rng = rand::rng();
        let mut pick = |from: &[u8]| {
            (0..SUFFIX_LENGTH)
                .map(|_| char::from(from[rng.random_range(..from.len())]))
                .collect()
        };
        Self {
            letters: pick(LETTERS),
            digits: pick(DIGITS),
        }
    }

    pub(crate) fn letters(&self) -> &str {
        &self.letters
    }

    /// Whether an id has the letters of this run.
    pub(crate) fn owns(&self, id: &str) -> bool {
        id.to_lowercase().contains(&self.letters)
    }

    /// Appends the run's letters to a name, in upper case after an upper-case letter.
    fn append_to(&self, name: &str) -> String {
        let letters = match name.chars().next_back() {
            Some(last) if last.is_uppercase() => self.letters.to_uppercase(),
            _ => self.letters.clone(),
        };
        format!("{name}{letters}")
    }
}

impl UniqueNames {
    pub(crate) fn new(mut texts: Vec<String>, numbers: Vec<(String, i64)>) -> Self {
        texts.retain(|text| !text.is_empty());
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { texts, numbers }
    }

    /// The text with the run's suffix after each listed name. In a cursor, this applies to the message id.
    pub(crate) fn text(&self, text: &str, run: &RunSuffix) -> String {
        if let Ok(Some(cursor)) = Cursor::decode(text) {
            let message_id = self.text(&cursor.message_id, run);
            return Cursor { message_id, ..cursor }.encode();
        }
        let mut made = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let taken = match self.texts.iter().find(|name| rest.starts_with(name.as_str())) {
                Some(name) => {
                    made.push_str(&run.append_to(name));
                    name.len()
                }
                None => {
                    made.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
        made
    }

    /// Like [`UniqueNames::text`], for every text and number in a value.
    pub(crate) fn value(&self, value: &Value, run: &RunSuffix) -> Value {
        self.member("", value, run)
    }

    fn member(&self, member: &str, value: &Value, run: &RunSuffix) -> Value {
        let number = |number: i64| format!("{number}{}", run.digits);
        let mut numbers = self
            .numbers
            .iter()
            .filter(|(name, _)| name == member)
            .map(|(_, number)| *number);
        match value {
            Value::Number(given) => match numbers.find(|number| given.as_i64() == Some(*number)) {
                Some(own) => number(own).parse::<i64>().map_or_else(|_| value.clone(), Value::from),
                None => value.clone(),
            },
            Value::String(text) => match numbers.find(|number| number.to_string() == *text) {
                Some(own) => number(own).into(),
                None => self.text(text, run).into(),
            },
            Value::Array(items) => items.iter().map(|item| self.member(member, item, run)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.member(name, value, run)))
                .collect(),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> RunSuffix {
        RunSuffix {
            letters: "xyw".to_owned(),
            digits: "404".to_owned(),
        }
    }

    #[test]
    fn only_listed_texts_get_the_suffix() {
        let texts = ["ghost", "ghost2", "ALICE", "alice", "OLD", "acct spaced"].map(str::to_owned);
        let fresh = UniqueNames::new(texts.into(), vec![("username".to_owned(), 9)]);
        for (given, made) in [
            ("alice", "alicexyw"),
            (" @ALICE! ", " @ALICEXYW! "),
            ("alice-<suffix6>", "alicexyw-<suffix6>"),
            ("acct_ghost", "acct_ghostxyw"),
            ("ghost2", "ghost2xyw"),
            ("  acct spaced  ", "  acct spacedxyw  "),
            ("OLD", "OLDXYW"),
            ("old", "old"),
            ("日本", "日本"),
            ("<account:1>", "<account:1>"),
        ] {
            assert_eq!(fresh.text(given, &run()), made);
            assert_eq!(run().owns(made), made.to_lowercase().contains("xyw"));
        }
        let given = json!({"username": 9, "n": 9, "list": [{"username": "9"}, {"username": "99"}]});
        let made = json!({"username": 9404, "n": 9, "list": [{"username": "9404"}, {"username": "99"}]});
        assert_eq!(fresh.value(&given, &run()), made);
    }

    #[test]
    fn the_message_id_in_a_cursor_gets_the_suffix() {
        let fresh = UniqueNames::new(vec!["m008".to_owned()], Vec::new());
        let recorded = "eyJtZXNzYWdlX2lkIjoibTAwOCIsInNlbnRfYXQiOiIyMDI2LTAyLTIxVDA4OjAwOjA3LjAwMDAwMVoifQ==";
        let made = Cursor::decode(&fresh.text(recorded, &run())).unwrap().unwrap();
        assert_eq!(made.message_id, "m008xyw");
        assert_eq!(made.sent_at.to_string(), "2026-02-21T08:00:07.000001Z");
    }

    #[test]
    fn suffixes_are_random_and_contain_no_searched_text() {
        let runs: Vec<RunSuffix> = (0..50).map(|_| RunSuffix::random()).collect();
        for run in &runs {
            assert!(run.letters.len() == SUFFIX_LENGTH && !run.letters.contains(['a', 'l', 'i', 'b', 'z']));
            assert!(!run.digits.contains('5'));
        }
        assert!(runs.iter().any(|run| run.letters != runs[0].letters));
    }
}

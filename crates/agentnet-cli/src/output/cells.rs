//! Values as table cells: short for people on a terminal, exact where a program may read them.

use agentnet_protocol::RawJson;

use super::Output;
use super::json::one_line;
use super::relative_time::{ago, due, now};
use super::sanitize::{NO_VALUE, at, clean, preview, shortened};

/// Maximum length of an account id in a table on a terminal, in characters.
const SHORT_ACCOUNT_LENGTH: usize = 20;

impl Output {
    /// A cell without a value: a dash, or empty in CSV.
    pub(crate) fn blank(self) -> String {
        if self.is_csv() { "" } else { NO_VALUE }.to_owned()
    }

    /// The text, or a cell without a value.
    pub(crate) fn or_blank(self, text: Option<&str>) -> String {
        text.filter(|text| !text.is_empty())
            .map_or_else(|| self.blank(), |text| clean(text).into_owned())
    }

    /// The texts separated by commas, or a cell without a value.
    pub(crate) fn list(self, texts: &[String]) -> String {
        self.or_blank(Some(&texts.join(", ")))
    }

    /// A username with `@`; in CSV without, because spreadsheets read `@` as the beginning of a formula.
    pub(crate) fn username(self, name: Option<&str>) -> String {
        match self.is_csv() {
            true => self.or_blank(name),
            false => at(name),
        }
    }

    /// An account id: shortened with `…` on a terminal, else in full.
    pub(crate) fn account(self, id: Option<&str>) -> String {
        let id = self.or_blank(id);
        if self.is_terminal() && !self.is_wide() {
            shortened(&id, SHORT_ACCOUNT_LENGTH)
        } else {
            id
        }
    }

    /// A payload: a preview, or in CSV the exact JSON.
    pub(crate) fn payload(self, payload: &RawJson) -> String {
        match self.is_csv() {
            true => one_line(payload.get()),
            false => preview(payload),
        }
    }

    /// A timestamp: on a terminal how long ago; elsewhere and with `--wide` the timestamp itself.
    pub(crate) fn moment(self, text: Option<&str>) -> String {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return self.blank();
        };
        if self.is_terminal() && !self.is_wide() {
            ago(text, now())
        } else {
            clean(text).into_owned()
        }
    }

    /// A timestamp to come: on a terminal how long from now; elsewhere and with `--wide` the timestamp itself.
    pub(crate) fn due(self, text: &str) -> String {
        match self.is_terminal() && !self.is_wide() && !text.is_empty() {
            true => due(text, now()),
            false => self.or_blank(Some(text)),
        }
    }

    /// The timestamp of a message: on a terminal without the fractions of a second.
    pub(crate) fn stamp(self, text: &str) -> String {
        let text = clean(text);
        match (self.is_terminal(), text.rsplit_once('.')) {
            (true, Some((seconds, fraction))) if fraction.ends_with('Z') => format!("{seconds}Z"),
            _ => text.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_lose_their_fractions_for_people_only() {
        for (text, shown) in [
            ("2026-02-21T08:00:00.123456Z", "2026-02-21T08:00:00Z"),
            ("2026-02-21T08:00:00Z", "2026-02-21T08:00:00Z"),
            ("some.thing", "some.thing"),
        ] {
            assert_eq!(Output::fixed(true, false).stamp(text), shown);
            assert_eq!(Output::fixed(false, false).stamp(text), text);
        }
    }

    #[test]
    fn away_from_a_terminal_the_timestamp_itself_is_shown() {
        let text = "2026-02-21T07:59:00Z";
        assert_eq!(Output::fixed(false, false).moment(Some(text)), text);
        assert!(Output::fixed(true, false).moment(Some(text)).ends_with(" ago"));
        for output in [Output::fixed(false, false), Output::fixed(true, true)] {
            assert_eq!(output.moment(None), NO_VALUE);
            assert_eq!(output.moment(Some("")), NO_VALUE);
        }
    }

    #[test]
    fn account_ids_are_cut_for_people_only() {
        let id = "acct_01kj0000000000000000000000";
        assert_eq!(Output::fixed(true, false).account(Some(id)), "acct_01kj0…000000000");
        assert_eq!(Output::fixed(false, false).account(Some(id)), id);
        assert_eq!(Output::fixed(false, false).account(None), NO_VALUE);
    }
}

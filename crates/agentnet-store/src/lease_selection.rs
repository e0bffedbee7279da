//! Selects the messages of a lease (PROTOCOL.md section 21.3): in their order, and per sender none before an earlier one that
//! still has to be delivered. A backend offers the messages of an account that wait or are leased, by `seq`.
//!
//! A message whose last lease ran out without an acknowledgement may have ended the process that had it, and all that was leased
//! beside it. So that it does not take the attempts of others with it, it is leased without later messages of its sender; and
//! after [`LAPSES_UNTIL_ALONE`] times in a row alone, one such message of the account at a time. Sessions handle the messages of a
//! sender one after the other: those that were leased behind it were not begun, and get their attempt back ([`Lapsed`]).

use std::collections::HashSet;

use agentnet_protocol::Timestamp;

use crate::model::{LeaseQuery, MailboxRow};

/// Messages that a backend reads at a time.
pub(crate) const CANDIDATES_PER_READ: i64 = 256;

/// Leases in a row that ran out without an acknowledgement, after which a message is leased alone. The index
/// `idx_agent_mailbox_alone` has this number too.
pub(crate) const LAPSES_UNTIL_ALONE: i64 = 2;

/// A message whose lease ran out without an acknowledgement, the first one of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lapsed {
    /// Place in the order.
    pub(crate) seq: i64,
    /// Account of its sender: later messages of it, whose lease ran out too, were not begun.
    pub(crate) from_account_id: String,
}

impl Lapsed {
    pub(crate) fn of(row: &MailboxRow) -> Self {
        Self {
            seq: row.seq,
            from_account_id: row.from_account_id.clone(),
        }
    }
}

/// A message that waits or is leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Place in the order.
    pub(crate) seq: i64,
    /// Account of its sender.
    pub(crate) from_account_id: String,
    /// Its last lease, if it is leased.
    pub(crate) lease: Option<String>,
    /// The session that had this lease.
    pub(crate) lease_session: Option<String>,
    /// When that lease ends.
    pub(crate) lease_until: Option<Timestamp>,
    /// Attempts so far.
    pub(crate) attempts: i64,
    /// Leases in a row that ran out before the last one.
    pub(crate) lapses: i64,
    /// Not before this time.
    pub(crate) available_at: Timestamp,
    /// When it is given up.
    pub(crate) expires_at: Timestamp,
    /// Its size in bytes.
    pub(crate) bytes: i64,
}

/// What a lease gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The messages, in order.
    pub(crate) seqs: Vec<i64>,
    /// Those of them whose last lease ran out.
    pub(crate) lapsed: Vec<Lapsed>,
}

/// The messages of one lease.
#[derive(Debug)]
pub(crate) struct LeaseSelection<'a> {
    query: &'a LeaseQuery,
    /// A message of the account that has to be leased alone is leased.
    is_alone_leased: bool,
    /// Senders of which an earlier message has to be delivered first.
    blocked: HashSet<String>,
    chosen: Chosen,
    bytes: i64,
    is_full: bool,
}

impl<'a> LeaseSelection<'a> {
    /// Nothing is chosen yet. `is_alone_leased`: a lease of this account is in force whose message ran out of
    /// [`LAPSES_UNTIL_ALONE`] leases.
    pub(crate) fn new(query: &'a LeaseQuery, is_alone_leased: bool) -> Self {
        Self {
            query,
            is_alone_leased,
            blocked: HashSet::new(),
            chosen: Chosen::default(),
            bytes: 0,
            is_full: false,
        }
    }

    /// Considers the next message in the order.
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        if self.is_full || self.blocked.contains(&candidate.from_account_id) {
            return;
        }
        let query = self.query;
        let is_leased = candidate.lease_until.is_some_and(|until| until > query.now);
        if is_leased {
            // The same call once more, whose reply was lost: it gets the same messages.
            if is_of(query, &candidate) {
                self.take(candidate, false);
            } else {
                self.blocked.insert(candidate.from_account_id);
            }
            return;
        }
        let has_lapsed = candidate.lease.is_some();
        // It is not delivered any more, so that later ones need not wait for it.
        if candidate.expires_at <= query.now {
            return;
        }
        if candidate.attempts >= query.max_attempts {
            // But those that were leased behind it wait until it is buried: they get their attempt back then.
            if has_lapsed {
                self.blocked.insert(candidate.from_account_id);
            }
            return;
        }
        if candidate.available_at > query.now {
            self.blocked.insert(candidate.from_account_id);
            return;
        }
        self.take(candidate, has_lapsed);
    }

    fn take(&mut self, candidate: Candidate, has_lapsed: bool) {
        let lapses = candidate.lapses + i64::from(has_lapsed);
        let is_repeated = candidate.lease.is_some() && !has_lapsed;
        if lapses > 0 {
            self.blocked.insert(candidate.from_account_id.clone());
        }
        let is_alone = lapses >= LAPSES_UNTIL_ALONE;
        if is_alone && (!self.chosen.seqs.is_empty() || self.is_alone_leased && !is_repeated) {
            return;
        }
        let max_bytes = i64::try_from(self.query.max_bytes).unwrap_or(i64::MAX);
        let bytes = self.bytes.saturating_add(candidate.bytes);
        if !self.chosen.seqs.is_empty() && bytes > max_bytes {
            self.is_full = true;
            return;
        }
        self.bytes = bytes;
        self.chosen.seqs.push(candidate.seq);
        if has_lapsed {
            self.chosen.lapsed.push(Lapsed {
                seq: candidate.seq,
                from_account_id: candidate.from_account_id,
            });
        }
        let max = if self.query.exclusive { 1 } else { self.query.max.max(1) };
        self.is_full = is_alone || self.chosen.seqs.len() >= max;
    }

    /// Whether no further message is chosen.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// What was chosen.
    pub(crate) fn into_chosen(self) -> Chosen {
        self.chosen
    }
}

/// Whether a message is leased by an earlier call with the same token, of the same session.
fn is_of(query: &LeaseQuery, candidate: &Candidate) -> bool {
    candidate.lease.as_deref() == Some(lease_name(query, candidate.seq).as_str())
        && candidate.lease_session.as_deref() == Some(&query.session_tag)
}

/// The name of a message's lease.
pub(crate) fn lease_name(query: &LeaseQuery, seq: i64) -> String {
    format!("{}-{seq}", query.token)
}

/// The message that a lease is about; `None` if the text is no lease.
pub(crate) fn seq_of_lease(lease: &str) -> Option<i64> {
    let (_, seq) = lease.rsplit_once('-')?;
    seq.parse().ok()
}

#[cfg(test)]
mod tests;

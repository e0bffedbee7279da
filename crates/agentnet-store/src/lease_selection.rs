//! Selects the messages of a lease (PROTOCOL.md section 21.3): in their order, and per sender none before an earlier one that
//! still has to be delivered. A backend offers the messages of an account that wait or are leased, by `seq`.

use std::collections::HashSet;

use agentnet_protocol::Timestamp;

use crate::model::LeaseQuery;

/// Messages that a backend reads at a time.
pub(crate) const CANDIDATES_PER_READ: i64 = 256;

/// A message that waits or is leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Place in the order.
    pub(crate) seq: i64,
    /// Account of its sender.
    pub(crate) from_account_id: String,
    /// Its last lease, if it is leased.
    pub(crate) lease: Option<String>,
    /// When that lease ends.
    pub(crate) lease_until: Option<Timestamp>,
    /// Attempts so far.
    pub(crate) attempts: i64,
    /// Not before this time.
    pub(crate) available_at: Timestamp,
    /// When it is given up.
    pub(crate) expires_at: Timestamp,
    /// Its size in bytes.
    pub(crate) bytes: i64,
}

/// The messages of one lease.
#[derive(Debug)]
pub(crate) struct LeaseSelection<'a> {
    query: &'a LeaseQuery,
    /// Senders of which an earlier message has to be delivered first.
    blocked: HashSet<String>,
    chosen: Vec<i64>,
    bytes: i64,
    is_full: bool,
}

impl<'a> LeaseSelection<'a> {
    /// Nothing is chosen yet.
    pub(crate) fn new(query: &'a LeaseQuery) -> Self {
        Self {
            query,
            blocked: HashSet::new(),
            chosen: Vec::new(),
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
        // The same call once more, whose reply was lost: it gets the same messages.
        let is_own = is_leased && candidate.lease.as_deref() == Some(lease_name(query, candidate.seq).as_str());
        if !is_own {
            if is_leased {
                self.blocked.insert(candidate.from_account_id);
                return;
            }
            // Neither is delivered any more, so that later ones need not wait for it.
            if candidate.expires_at <= query.now || candidate.attempts >= query.max_attempts {
                return;
            }
            if candidate.available_at > query.now {
                self.blocked.insert(candidate.from_account_id);
                return;
            }
        }
        let max_bytes = i64::try_from(query.max_bytes).unwrap_or(i64::MAX);
        let bytes = self.bytes.saturating_add(candidate.bytes);
        if !self.chosen.is_empty() && bytes > max_bytes {
            self.is_full = true;
            return;
        }
        self.bytes = bytes;
        self.chosen.push(candidate.seq);
        let max = if query.exclusive { 1 } else { query.max.max(1) };
        self.is_full = self.chosen.len() >= max;
    }

    /// Whether no further message is chosen.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The chosen messages, in order.
    pub(crate) fn into_chosen(self) -> Vec<i64> {
        self.chosen
    }
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

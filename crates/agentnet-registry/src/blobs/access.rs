//! Who may read a blob: its uploader, and each receiver of a message that names it, if the message's sender may read it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use agentnet_protocol::permissions::CAPABILITY_PREFIX;
use agentnet_store::StoreError;
use agentnet_store::model::{Blob, BlobShare};
use parking_lot::Mutex;

use super::Blobs;
use crate::secure::members::Members;

/// Shares of one blob that are looked at: those of fifty senders with as many receivers as one may have.
const MAX_SHARES: usize = 50_000;
/// How long an account that may read a blob is known to: it reads many pieces.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// Readers that are known at the same time.
const MAX_KNOWN: usize = 10_000;

/// Accounts that were found to be readers lately.
#[derive(Default)]
pub(super) struct KnownReaders(Mutex<HashMap<(String, String), Instant>>);

impl KnownReaders {
    fn knows(&self, blob_id: &str, account_id: &str, now: Instant) -> bool {
        let key = (blob_id.to_owned(), account_id.to_owned());
        let known = self.0.lock().get(&key).copied();
        known.is_some_and(|since| now.saturating_duration_since(since) < KNOWN_FOR)
    }

    fn note(&self, blob_id: &str, account_id: &str, now: Instant) {
        let mut known = self.0.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert((blob_id.to_owned(), account_id.to_owned()), now);
    }
}

impl Blobs {
    /// Whether an account that does not read everything may read a blob.
    pub(crate) async fn may_read(&self, members: &Members, blob: &Blob, account_id: &str) -> Result<bool, StoreError> {
        if blob.account_id == account_id {
            return Ok(true);
        }
        let now = Instant::now();
        if self.readers.knows(&blob.blob_id, account_id, now) {
            return Ok(true);
        }
        let shares = self.store.blob_shares(&blob.blob_id, MAX_SHARES).await?;
        let has = |account: &str, capability: &str| {
            let member = members.active(account);
            member.is_some_and(|member| member.capabilities.iter().any(|held| held == capability))
        };
        let may = is_reader(&blob.account_id, &shares, account_id, has);
        if may {
            self.readers.note(&blob.blob_id, account_id, now);
        }
        Ok(may)
    }
}

/// Whether the shares lead from the owner to the account. They may have been noted in any order.
fn is_reader(owner: &str, shares: &[BlobShare], account_id: &str, has: impl Fn(&str, &str) -> bool) -> bool {
    let mut accounts: HashSet<&str> = HashSet::from([owner]);
    let mut capabilities: HashSet<&str> = HashSet::new();
    let reads = |account: &str, accounts: &HashSet<&str>, capabilities: &HashSet<&str>| {
        accounts.contains(account) || capabilities.iter().any(|capability| has(account, capability))
    };
    let mut left: Vec<&BlobShare> = shares.iter().collect();
    loop {
        if reads(account_id, &accounts, &capabilities) {
            return true;
        }
        let before = left.len();
        left.retain(|share| {
            if !reads(&share.from_account, &accounts, &capabilities) {
                return true;
            }
            match share.receiver.strip_prefix(CAPABILITY_PREFIX) {
                Some(capability) => capabilities.insert(capability),
                None => accounts.insert(&share.receiver),
            };
            false
        });
        if left.len() == before {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pairs: &[(&str, &str)]) -> Vec<BlobShare> {
        let share = |(from, to): &(&str, &str)| BlobShare {
            blob_id: "b".into(),
            from_account: (*from).into(),
            receiver: (*to).into(),
        };
        pairs.iter().map(share).collect()
    }

    #[test]
    fn readers_are_those_that_readers_sent_it_to() {
        let has = |account: &str, capability: &str| account == "seer" && capability == "vision";
        for (given, account, reads) in [
            (&[][..], "owner", true),
            (&[], "bob", false),
            (&[("owner", "bob")], "bob", true),
            (&[("owner", "bob")], "carol", false),
            // In the order in which several registries noted them.
            (&[("bob", "carol"), ("owner", "bob")], "carol", true),
            (&[("mallory", "carol"), ("mallory", "mallory")], "carol", false),
            (&[("mallory", "carol"), ("mallory", "mallory")], "mallory", false),
            (&[("owner", "capability:vision")], "seer", true),
            (&[("owner", "capability:vision")], "bob", false),
            (&[("seer", "dave"), ("owner", "capability:vision")], "dave", true),
            (&[("bob", "capability:vision")], "seer", false),
            // An account is none with a capability's name.
            (&[("owner", "vision")], "seer", false),
        ] {
            assert_eq!(
                is_reader("owner", &shares(given), account, has),
                reads,
                "{given:?} {account}"
            );
        }
    }

    #[test]
    fn known_readers_are_forgotten() {
        let (known, now) = (KnownReaders::default(), Instant::now());
        known.note("b", "bob", now);
        assert!(known.knows("b", "bob", now + KNOWN_FOR / 2));
        assert!(!known.knows("b", "bob", now + KNOWN_FOR));
        assert!(!known.knows("b", "carol", now) && !known.knows("c", "bob", now));
    }
}

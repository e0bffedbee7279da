//! The registries of this network: those with a row in this registry's database, and others without proof.
//!
//! Every client of the network can publish something that looks like an announcement. So each registry writes a row with a
//! random key into the database when it starts, and authenticates its announcements with that key (PROTOCOL.md section 10.3):
//! a client that cannot read the database cannot pose as a registry. Beats without proof are remembered only to report them:
//! they come from registries on another database, or of an older version.

mod heard;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use agentnet_store::model::Registry as Row;
use agentnet_store::{Store, StoreError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::{Mutex, MutexGuard};
use sha2::Sha256;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::database::Database;

/// How often a registry updates its row in the database.
const REFRESH_INTERVAL: Duration = Duration::from_secs(20);
/// An older row belongs to a registry that was killed. Much longer than `REFRESH_INTERVAL`: clocks of several machines differ.
const STALE_MILLIS: i128 = 300_000;
/// The shortest time between two reads of the rows: every client of the network can cause one.
const MIN_READ_INTERVAL: Duration = Duration::from_secs(1);
/// Registries without proof that are remembered.
const MAX_UNPROVEN_PEERS: usize = 16;
/// Bytes of a name from the network that are remembered or logged.
const MAX_LOGGED_NAME_BYTES: usize = 64;
/// A registry that was silent for longer has stopped.
pub(crate) const PEER_TIMEOUT: Duration = Duration::from_secs(4);
/// Hexadecimal digits of an authentication code.
const CODE_DIGITS: usize = 32;
const CODE_MEMBER: &str = ",\"mac\":\"";
/// Hexadecimal digits of an instance id.
const INSTANCE_ID_DIGITS: usize = 16;

/// Another registry, as the health reply shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Server id of the registry.
    pub server_id: String,
    /// Identifies this run of it: 16 hexadecimal digits.
    pub instance: String,
    /// The id of its database; `None` from an older version.
    pub database: Option<String>,
    /// Whether it has proved that it uses the same database. Every client of the network can pose as another registry.
    pub verified: bool,
}

/// The registries of this network.
pub(crate) struct Peers {
    instance_id: u64,
    /// By which the broker knows this registry, in secure mode.
    nkey: Option<String>,
    key: String,
    /// Numbers the beats, so that a recorded one does nothing.
    beats: AtomicU64,
    database: OnceLock<String>,
    known: Mutex<Known>,
    /// An announcement came from a registry whose row was not read yet.
    unknown: Notify,
    warned: AtomicBool,
}

#[derive(Default)]
struct Known {
    rows: HashMap<u64, KnownPeer>,
    unproven: VecDeque<(Instant, Peer)>,
}

/// A registry with a row.
struct KnownPeer {
    server_id: String,
    key: String,
    /// The sequence number of its last beat, and when it came.
    last: Option<(u64, Instant)>,
}

/// The sender of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A registry on the same database.
    Peer(u64),
    /// Any client of the network.
    Unproven,
}

impl Peers {
    pub(crate) fn new(instance_id: u64, nkey: Option<String>) -> Self {
        Self {
            instance_id,
            nkey,
            key: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
            beats: AtomicU64::new(0),
            database: OnceLock::new(),
            known: Mutex::default(),
            unknown: Notify::new(),
            warned: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// Identifies this run of this registry.
    pub(crate) fn instance_id(&self) -> u64 {
        self.instance_id
    }

    /// The instance id as 16 hexadecimal digits.
    pub(crate) fn instance_text(&self) -> String {
        Row::number_text(self.instance_id)
    }

    /// The id of the database, once it was read.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.get().map(String::as_str)
    }

    /// The sequence number of the next beat.
    pub(crate) fn next_beat(&self) -> u64 {
        self.beats.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds the authentication code to an announcement.
    pub(crate) fn authenticated(&self, mut body: String) -> String {
        body.pop();
        let code = code(&self.key, &body);
        body.push_str(CODE_MEMBER);
        body.push_str(&code);
        body.push_str("\"}");
        body
    }

    /// The sender of an announcement. Works on the bytes: parsing each one would take longer than sending it takes a flooder.
    pub(crate) fn origin(&self, body: &[u8]) -> Origin {
        let Some(instance_id) = instance_id_in(body) else {
            return Origin::Unproven;
        };
        let known = self.lock();
        let Some(peer) = known.rows.get(&instance_id) else {
            self.unknown.notify_one();
            return Origin::Unproven;
        };
        match authentic(&peer.key, body) {
            true => Origin::Peer(instance_id),
            false => Origin::Unproven,
        }
    }

    /// A beat of a registry on the same database; `false` if it is an old one.
    pub(crate) fn beat(&self, instance_id: u64, beat: u64, now: Instant) -> bool {
        let mut known = self.lock();
        let Some(peer) = known.rows.get_mut(&instance_id) else {
            return false;
        };
        if peer.last.is_some_and(|(last, _)| beat <= last) {
            return false;
        }
        peer.last = Some((beat, now));
        known
            .unproven
            .retain(|(_, peer)| peer.instance != Row::number_text(instance_id));
        true
    }

    /// A registry on the same database stops.
    pub(crate) fn left(&self, instance_id: u64, now: Instant) {
        if let Some(peer) = self.lock().rows.get_mut(&instance_id) {
            // No later beat counts.
            peer.last = Some((u64::MAX, now));
        }
    }

    /// A beat without proof; `true` if its sender was not known.
    pub(crate) fn unproven_beat(
        &self,
        server_id: &str,
        instance_id: u64,
        database: Option<&str>,
        now: Instant,
    ) -> bool {
        let instance = Row::number_text(instance_id);
        let mut known = self.lock();
        known.forget_unproven(now);
        let peer = Peer {
            server_id: cut(server_id),
            instance,
            database: database.map(cut),
            verified: false,
        };
        let found = known.unproven.iter_mut().find(|(_, other)| *other == peer);
        if let Some((at, _)) = found {
            *at = now;
            return false;
        }
        if known.unproven.len() >= MAX_UNPROVEN_PEERS {
            return false;
        }
        known.unproven.push_back((now, peer));
        true
    }

    /// Replaces the known rows by those of the database.
    fn replace_rows(&self, rows: Vec<Row>) {
        let mut known = self.lock();
        let mut before = std::mem::take(&mut known.rows);
        known.rows = rows
            .into_iter()
            .filter(|row| row.number != self.instance_id)
            .map(|row| {
                let last = before.remove(&row.number).and_then(|peer| peer.last);
                let peer = KnownPeer {
                    server_id: row.server_id,
                    key: row.announce_key,
                    last,
                };
                (row.number, peer)
            })
            .collect();
    }

    /// Writes this registry's row before its first announcement, if the database answers.
    pub(crate) async fn enter(&self, database: &Database, server_id: &str) {
        if database.is_up()
            && let Err(error) = self.refresh(database.fail_fast().as_ref(), server_id).await
        {
            tracing::warn!(%error, "this registry's row cannot be written to the database yet; trying again");
            self.warned.store(true, Ordering::Relaxed);
        }
    }

    /// Writes this registry's row and reads those of the others.
    async fn refresh(&self, store: &dyn Store, server_id: &str) -> Result<(), StoreError> {
        let now = Now::read().time;
        store
            .put_registry(&Row {
                number: self.instance_id,
                server_id: server_id.to_owned(),
                announce_key: self.key.clone(),
                nkey: self.nkey.clone(),
                beat_at: now,
            })
            .await?;
        if self.database.get().is_none() {
            let _ = self.database.set(store.database_id().await?);
        }
        self.read_rows(store).await
    }

    async fn read_rows(&self, store: &dyn Store) -> Result<(), StoreError> {
        let since = Now::read().time.saturating_add_millis(-STALE_MILLIS);
        self.replace_rows(store.registries(since).await?);
        Ok(())
    }
}

impl Known {
    fn forget_unproven(&mut self, now: Instant) {
        self.unproven
            .retain(|(at, _)| now.saturating_duration_since(*at) <= PEER_TIMEOUT);
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("instance", &self.instance_text())
            .finish_non_exhaustive()
    }
}

/// Keeps this registry's row up to date until `stop`, and reads those of the others.
pub(crate) async fn run(peers: Arc<Peers>, database: Database, server_id: String, stop: CancellationToken) {
    let store = database.retrying();
    let mut written = Instant::now();
    let mut due = peers.database().map_or(Duration::ZERO, |_| REFRESH_INTERVAL);
    loop {
        let until = tokio::time::sleep(due.saturating_sub(written.elapsed()));
        let refresh = tokio::select! {
            () = stop.cancelled() => break,
            () = until => true,
            () = peers.unknown.notified() => false,
        };
        let outcome = async {
            database.up().await;
            match refresh {
                true => peers.refresh(store.as_ref(), &server_id).await,
                false => peers.read_rows(store.as_ref()).await,
            }
        };
        match stop.run_until_cancelled(outcome).await {
            None => break,
            Some(Ok(())) if refresh => {
                (written, due) = (Instant::now(), REFRESH_INTERVAL);
                peers.warned.store(false, Ordering::Relaxed);
            }
            Some(Ok(())) => {}
            Some(Err(error)) => {
                if !peers.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "this registry's row cannot be written to the database; trying again");
                }
            }
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(MIN_READ_INTERVAL))
            .await
            .is_none()
        {
            break;
        }
    }
    if database.is_up()
        && let Err(error) = store.remove_registry(peers.instance_id).await
    {
        tracing::debug!(%error, "this registry's row could not be removed; it expires");
    }
}

/// The instance id in an announcement as registries write it (`number`). A quotation mark within a string is escaped, so no
/// string looks like this member.
fn instance_id_in(body: &[u8]) -> Option<u64> {
    const MEMBER: &[u8] = b",\"number\":\"";
    let start = body.windows(MEMBER.len()).position(|bytes| bytes == MEMBER)? + MEMBER.len();
    let digits = body.get(start..start + INSTANCE_ID_DIGITS)?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// HMAC-SHA256 over a text, not finalized. HMAC takes keys of every length, so this is never `None`.
fn mac(key: &str, text: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(text.as_bytes());
    Some(mac)
}

/// The first 128 bits of HMAC-SHA256.
fn code(key: &str, text: &str) -> String {
    let code = mac(key, text)
        .map(|mac| mac.finalize().into_bytes())
        .unwrap_or_default();
    agentnet_protocol::hex::encode(&code[..CODE_DIGITS / 2])
}

/// Whether an announcement ends in the code of the text before it.
fn authentic(key: &str, body: &[u8]) -> bool {
    let shown = || {
        let split = body.len().checked_sub(CODE_MEMBER.len() + CODE_DIGITS + 2)?;
        let text = std::str::from_utf8(&body[..split]).ok()?;
        let end = std::str::from_utf8(&body[split..]).ok()?;
        let digits = end.strip_prefix(CODE_MEMBER)?.strip_suffix("\"}")?;
        let code = u128::from_str_radix(digits, 16).ok()?;
        (digits.len() == CODE_DIGITS && !digits.starts_with('+')).then_some((text, code))
    };
    shown().is_some_and(|(text, code)| {
        mac(key, text).is_some_and(|mac| mac.verify_truncated_left(&code.to_be_bytes()).is_ok())
    })
}

/// The beginning of a name that came from the network.
pub(crate) fn cut(name: &str) -> String {
    let mut end = name.len().min(MAX_LOGGED_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests;

//! The registries of this network: those that share this one's database, known by their row in it, and strangers.
//!
//! Anybody on the network can publish what looks like an announcement. So each registry writes a row with a random key into the
//! database when it starts, and authenticates its announcements with it (PROTOCOL.md section 10.3): who cannot read the
//! database cannot speak as a registry. What strangers say is remembered only to tell that they are there: another database on
//! the same network, or a registry of an older version.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use agentnet_store::model::Registry as Row;
use agentnet_store::{Store, StoreError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::context::Context;

/// How often a registry says in the database that it runs.
const REFRESH: Duration = Duration::from_secs(20);
/// A row that is older is of a registry that was killed. Much longer than `REFRESH`: clocks of several machines differ.
const STALE_MILLIS: i128 = 300_000;
/// The shortest time between two looks at the rows: anybody can make this registry look.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Strangers that are remembered.
const STRANGERS: usize = 16;
/// Bytes of a stranger's name that are remembered.
const NAME_BYTES: usize = 64;
/// A registry that was silent for so long has gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(4);
/// Hexadecimal digits of an authentication code.
const CODE_DIGITS: usize = 32;
const CODE_MEMBER: &str = ",\"mac\":\"";
/// Hexadecimal digits of a registry's number.
const NUMBER_DIGITS: usize = 16;

/// Another registry, as the health reply shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its name.
    pub server_id: String,
    /// What tells this run of it from every other: 16 hexadecimal digits.
    pub instance: String,
    /// The id of its database; `None` if it does not say (an older version).
    pub database: Option<String>,
    /// Whether it has proved that it uses the same database. Anybody on the network can pretend to be another one.
    pub verified: bool,
}

/// The registries of this network.
pub(crate) struct Peers {
    number: u64,
    key: String,
    /// Numbers the beats, so that a recorded one does nothing.
    beats: AtomicU64,
    database: OnceLock<String>,
    known: Mutex<Known>,
    /// Somebody speaks whose row is not known here.
    unknown: Notify,
    warned: AtomicBool,
}

#[derive(Default)]
struct Known {
    rows: HashMap<u64, Colleague>,
    strangers: VecDeque<(Instant, Peer)>,
}

/// A registry with a row.
struct Colleague {
    server_id: String,
    key: String,
    /// Its last beat: its number and when it came.
    last: Option<(u64, Instant)>,
}

/// Who made an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// A registry on the same database.
    Colleague(u64),
    /// Anybody.
    Stranger,
}

impl Peers {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            key: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
            beats: AtomicU64::new(0),
            database: OnceLock::new(),
            known: Mutex::default(),
            unknown: Notify::new(),
            warned: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This run of this registry: 16 hexadecimal digits.
    pub(crate) fn instance(&self) -> String {
        Row::number_text(self.number)
    }

    /// The id of the database, once it was read.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.get().map(String::as_str)
    }

    /// The number of the next beat.
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

    /// Who made an announcement, by its bytes: anybody may send many, and to read each would take longer than to send it.
    pub(crate) fn speaker(&self, body: &[u8]) -> Speaker {
        let Some(number) = number_in(body) else {
            return Speaker::Stranger;
        };
        let known = self.lock();
        let Some(colleague) = known.rows.get(&number) else {
            self.unknown.notify_one();
            return Speaker::Stranger;
        };
        match authentic(&colleague.key, body) {
            true => Speaker::Colleague(number),
            false => Speaker::Stranger,
        }
    }

    /// A beat of a registry on the same database; `false` if it is an old one.
    pub(crate) fn beat(&self, number: u64, beat: u64, now: Instant) -> bool {
        let mut known = self.lock();
        let Some(colleague) = known.rows.get_mut(&number) else {
            return false;
        };
        if colleague.last.is_some_and(|(last, _)| beat <= last) {
            return false;
        }
        colleague.last = Some((beat, now));
        known
            .strangers
            .retain(|(_, peer)| peer.instance != Row::number_text(number));
        true
    }

    /// A registry on the same database stops.
    pub(crate) fn left(&self, number: u64, now: Instant) {
        if let Some(colleague) = self.lock().rows.get_mut(&number) {
            // No beat comes behind it.
            colleague.last = Some((u64::MAX, now));
        }
    }

    /// A beat of somebody else. `true` if that is news.
    pub(crate) fn stranger(&self, server_id: &str, number: u64, database: Option<&str>, now: Instant) -> bool {
        let instance = Row::number_text(number);
        let mut known = self.lock();
        known.forget_strangers(now);
        let peer = Peer {
            server_id: cut(server_id),
            instance,
            database: database.map(cut),
            verified: false,
        };
        let found = known.strangers.iter_mut().find(|(_, other)| *other == peer);
        if let Some((at, _)) = found {
            *at = now;
            return false;
        }
        if known.strangers.len() >= STRANGERS {
            return false;
        }
        known.strangers.push_back((now, peer));
        true
    }

    /// The other registries that were heard just now.
    pub(crate) fn heard(&self, now: Instant) -> Vec<Peer> {
        let mut known = self.lock();
        known.forget_strangers(now);
        let recent = |last: Option<(u64, Instant)>| {
            last.is_some_and(|(beat, at)| beat < u64::MAX && now.saturating_duration_since(at) <= SILENCE)
        };
        let colleagues = known.rows.iter().filter(|(_, colleague)| recent(colleague.last));
        let mut peers: Vec<Peer> = colleagues
            .map(|(number, colleague)| Peer {
                server_id: cut(&colleague.server_id),
                instance: Row::number_text(*number),
                database: self.database.get().cloned(),
                verified: true,
            })
            .chain(known.strangers.iter().map(|(_, peer)| peer.clone()))
            .collect();
        peers.sort_by(|one, other| (&one.server_id, &one.instance).cmp(&(&other.server_id, &other.instance)));
        peers
    }

    /// Takes over the rows of the database.
    fn take(&self, rows: Vec<Row>) {
        let mut known = self.lock();
        let mut before = std::mem::take(&mut known.rows);
        known.rows = rows
            .into_iter()
            .filter(|row| row.number != self.number)
            .map(|row| {
                let last = before.remove(&row.number).and_then(|colleague| colleague.last);
                let colleague = Colleague {
                    server_id: row.server_id,
                    key: row.announce_key,
                    last,
                };
                (row.number, colleague)
            })
            .collect();
    }

    /// Writes this registry's row and reads those of the others.
    async fn refresh(&self, store: &dyn Store, server_id: &str) -> Result<(), StoreError> {
        let now = Now::read().time;
        store
            .put_registry(&Row {
                number: self.number,
                server_id: server_id.to_owned(),
                announce_key: self.key.clone(),
                beat_at: now,
            })
            .await?;
        if self.database.get().is_none() {
            let _ = self.database.set(store.database_id().await?);
        }
        self.look(store).await
    }

    async fn look(&self, store: &dyn Store) -> Result<(), StoreError> {
        let since = Now::read().time.saturating_add_millis(-STALE_MILLIS);
        self.take(store.registries(since).await?);
        Ok(())
    }
}

impl Known {
    fn forget_strangers(&mut self, now: Instant) {
        self.strangers
            .retain(|(at, _)| now.saturating_duration_since(*at) <= SILENCE);
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("instance", &self.instance())
            .finish_non_exhaustive()
    }
}

/// Writes this registry's row before it says anything, if the database answers.
pub(crate) async fn enter(ctx: &Context) {
    if ctx.database.is_up()
        && let Err(error) = ctx.peers.refresh(ctx.store.as_ref(), &ctx.config.server_id).await
    {
        tracing::warn!(%error, "this registry cannot be noted in the database yet; trying again");
        ctx.peers.warned.store(true, Ordering::Relaxed);
    }
}

/// Keeps this registry's row fresh until `stop`, and looks who else has one.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let store = ctx.database.patient();
    let mut written = Instant::now();
    let mut due = ctx.peers.database().map_or(Duration::ZERO, |_| REFRESH);
    loop {
        let until = tokio::time::sleep(due.saturating_sub(written.elapsed()));
        let refresh = tokio::select! {
            () = stop.cancelled() => break,
            () = until => true,
            () = ctx.peers.unknown.notified() => false,
        };
        let outcome = async {
            ctx.database.up().await;
            match refresh {
                true => ctx.peers.refresh(store.as_ref(), &ctx.config.server_id).await,
                false => ctx.peers.look(store.as_ref()).await,
            }
        };
        match stop.run_until_cancelled(outcome).await {
            None => break,
            Some(Ok(())) if refresh => {
                (written, due) = (Instant::now(), REFRESH);
                ctx.peers.warned.store(false, Ordering::Relaxed);
            }
            Some(Ok(())) => {}
            Some(Err(error)) => {
                if !ctx.peers.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "this registry cannot be noted in the database; trying again");
                }
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_PAUSE)).await.is_none() {
            break;
        }
    }
    if ctx.database.is_up()
        && let Err(error) = store.remove_registry(ctx.peers.number).await
    {
        tracing::debug!(%error, "this registry's row stays until it is old");
    }
}

/// The number in an announcement as registries write it. A quotation mark within a text has a backslash before it, so that no
/// text looks like this member.
fn number_in(body: &[u8]) -> Option<u64> {
    const MEMBER: &[u8] = b",\"number\":\"";
    let start = body.windows(MEMBER.len()).position(|bytes| bytes == MEMBER)? + MEMBER.len();
    let digits = body.get(start..start + NUMBER_DIGITS)?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// HMAC-SHA256 over a text, not finished. HMAC takes keys of every length: there always is one.
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
    code.iter()
        .take(CODE_DIGITS / 2)
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
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

/// The beginning of a name that came over the network.
pub(crate) fn cut(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests;

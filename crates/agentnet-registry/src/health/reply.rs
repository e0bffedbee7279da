//! The answer of a registry that is asked how it is, and its JSON.

use agentnet_protocol::json::{JsonError, Object, ObjectWriter};
use agentnet_protocol::preview::visible::{MAX_LOG_VALUE, write_escaped};
use agentnet_store::model::DiskSpace;

use crate::peers::Peer;

/// What a registry says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Server id of the registry.
    pub server_id: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Why the store cannot be used just now; `None` if it works.
    pub store_problem: Option<String>,
    /// The room on the disk of the database; `None` if it is not known: PostgreSQL, a database in memory, an older version.
    pub disk_space: Option<DiskSpace>,
    /// Whether registrations must be signed (`DEV_AUTH`); `None`: an older version.
    pub requires_signed_identity: Option<bool>,
    /// `jetstream` or `core`.
    pub capture: String,
    /// Captured messages that wait in this registry's memory to be stored.
    pub waiting: i64,
    /// Whether the consumer that hands the stream to the registries is paused: nothing is stored meanwhile. An older version
    /// says `false`.
    pub is_paused: bool,
    /// Messages that its connection dropped since it started, because nothing took them in time; an older version says 0.
    pub dropped: i64,
    /// What tells this run of the registry from every other: 16 hexadecimal digits. Empty: an older version.
    pub instance: String,
    /// The id of its database; `None` if it was not read yet, or of an older version.
    pub database: Option<String>,
    /// The other registries that it heard in the last seconds.
    pub registries: Vec<Peer>,
    /// Accounts that hold more than may be stored now, at most 20: the next registration of each is refused until its agent
    /// says less.
    pub oversized: Vec<Oversized>,
}

/// An account that holds more than may be stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oversized {
    /// Username of the account.
    pub username: String,
    /// What is too large, how large it is, and what is allowed.
    pub problem: String,
}

impl Health {
    /// Whether everything works: [`Health::problem`] is `None`.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.problem().is_none()
    }

    /// What is wrong, in one line: the store does not work, the consumer of the stream is paused, another registry has this
    /// server id, or registries of this network use different databases. `agentnet doctor` fails for each of them too.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if let Some(problem) = &self.store_problem {
            return Some(format!("the {} store does not work: {problem}", self.store));
        }
        if self.is_paused {
            return Some("the consumer agentnet-registry is paused: nothing is stored meanwhile".to_owned());
        }
        if self.same_server_id().next().is_some() {
            return Some(format!(
                "another registry has the server id {} too (REGISTRY_SERVER_ID)",
                self.server_id
            ));
        }
        self.other_databases().next().map(|other| {
            let mut problem = format!("{} and ", self.server_id);
            // Any client of the network can send such a name. Writing to a `String` does not fail.
            let _ = write_escaped(&mut problem, MAX_LOG_VALUE, format_args!("{}", other.server_id));
            problem + " use different databases: each knows only some of the accounts and messages (DATABASE_URL)"
        })
    }

    /// The others that have this one's name: sessions and metrics of them cannot be told apart.
    pub fn same_server_id(&self) -> impl Iterator<Item = &Peer> {
        self.registries.iter().filter(|peer| peer.server_id == self.server_id)
    }

    /// The others that say that they use another database: each knows only some of the accounts and messages.
    pub fn other_databases(&self) -> impl Iterator<Item = &Peer> {
        let own = self.database.as_ref();
        let differs = move |other: &String| own.is_some_and(|own| own != other);
        self.registries
            .iter()
            .filter(move |peer| !peer.verified && peer.database.as_ref().is_some_and(differs))
    }

    /// As JSON: `server_id`, `healthy`, `problem`, `store` {`backend`, `problem`, `free_bytes`, `total_bytes`}, `capture` {`mode`,
    /// `waiting`, `dropped`, `paused`}, `instance`,
    /// `database`, `registries` [{`server_id`, `instance`, `database`, `verified`}], `oversized` [{`username`, `problem`}],
    /// `dev_auth`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut store = ObjectWriter::new();
        store
            .text("backend", &self.store)
            .nullable_text("problem", self.store_problem.as_deref());
        if let Some(DiskSpace { free, total }) = self.disk_space {
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            store.int("free_bytes", bytes(free)).int("total_bytes", bytes(total));
        }
        let mut capture = ObjectWriter::new();
        capture
            .text("mode", &self.capture)
            .int("waiting", self.waiting)
            .int("dropped", self.dropped)
            .bool("paused", self.is_paused);
        let others: Vec<String> = self
            .registries
            .iter()
            .map(|peer| {
                ObjectWriter::new()
                    .text("server_id", &peer.server_id)
                    .text("instance", &peer.instance)
                    .nullable_text("database", peer.database.as_deref())
                    .bool("verified", peer.verified)
                    .finish()
            })
            .collect();
        let oversized: Vec<String> = self
            .oversized
            .iter()
            .map(|account| {
                ObjectWriter::new()
                    .text("username", &account.username)
                    .text("problem", &account.problem)
                    .finish()
            })
            .collect();
        let mut out = ObjectWriter::new();
        out.text("server_id", &self.server_id)
            .bool("healthy", self.is_well())
            .nullable_text("problem", self.problem().as_deref())
            .raw("store", &store.finish())
            .raw("capture", &capture.finish())
            .text("instance", &self.instance)
            .nullable_text("database", self.database.as_deref())
            .raw_items("registries", &others.join(","))
            .raw_items("oversized", &oversized.join(","));
        if let Some(required) = self.requires_signed_identity {
            out.bool("dev_auth", required);
        }
        out.finish()
    }

    /// Reads what [`Health::encode`] wrote.
    pub(super) fn decode(body: &[u8]) -> Result<Self, String> {
        let object = Object::parse_body(body).map_err(|error: JsonError| error.to_string())?;
        let object = object.ok_or("it is no object")?;
        let part = |name: &str| object.get(name).as_object().ok_or(format!("`{name}` is no object"));
        let text = |object: &Object<'_>, name: &str| {
            let text = object.get(name).as_str().map(std::borrow::Cow::into_owned);
            text.ok_or(format!("`{name}` is no text"))
        };
        let (store, capture) = (part("store")?, part("capture")?);
        let count = |name: &str| -> Result<i64, String> {
            let count = capture.get(name).int().map_err(|error| error.to_string())?;
            Ok(count.and_then(|count| i64::try_from(count).ok()).unwrap_or_default())
        };
        Ok(Self {
            server_id: text(&object, "server_id")?,
            store: text(&store, "backend")?,
            store_problem: store.get("problem").opt_text().map(std::borrow::Cow::into_owned),
            disk_space: disk_space(&store),
            requires_signed_identity: match object.get("dev_auth").raw() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            capture: text(&capture, "mode")?,
            waiting: count("waiting")?,
            dropped: count("dropped")?,
            is_paused: capture.get("paused").raw() == "true",
            // Members that an older version does not have.
            instance: text(&object, "instance").unwrap_or_default(),
            database: text(&object, "database").ok(),
            registries: object
                .get("registries")
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|peer| peer.as_object())
                .map(|peer| {
                    Ok(Peer {
                        server_id: text(&peer, "server_id")?,
                        instance: text(&peer, "instance")?,
                        database: text(&peer, "database").ok(),
                        verified: peer.get("verified").raw() == "true",
                    })
                })
                .collect::<Result<_, String>>()?,
            oversized: object
                .get("oversized")
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|account| account.as_object())
                .map(|account| {
                    Ok(Oversized {
                        username: text(&account, "username")?,
                        problem: text(&account, "problem")?,
                    })
                })
                .collect::<Result<_, String>>()?,
        })
    }
}

/// The members of `store` that only some have.
fn disk_space(store: &Object<'_>) -> Option<DiskSpace> {
    let bytes = |name: &str| u64::try_from(store.get(name).int().ok()??).ok();
    Some(DiskSpace {
        free: bytes("free_bytes")?,
        total: bytes("total_bytes")?,
    })
}

#[cfg(test)]
mod tests;

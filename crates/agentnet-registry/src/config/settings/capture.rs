//! The settings of the stream that captures messages (PROTOCOL.md section 8.1).

use super::super::parse::{choice, number};
use super::super::setting::{NO_LIMIT, Setting, assign};

/// Where JetStream keeps messages until they are stored.
pub(super) const STORAGE: Setting = Setting {
    variable: "AGENTNET_CAPTURE_STORAGE",
    flag: Some("capture-storage"),
    value_name: "file|memory",
    default: "file",
    help: "Storage of the stream in which JetStream keeps messages until they are in the history",
    set: |config, value| assign(&mut config.capture_storage, choice(value)),
    limit: NO_LIMIT,
};

/// Copies of the stream in a NATS cluster.
pub(super) const REPLICAS: Setting = Setting {
    variable: "AGENTNET_CAPTURE_REPLICAS",
    flag: Some("capture-replicas"),
    value_name: "N",
    default: "1",
    help: "Copies of that stream in a NATS cluster, at most 5",
    set: |config, value| assign(&mut config.capture_replicas, number(value)),
    limit: |config| config.capture_replicas = config.capture_replicas.clamp(1, 5),
};

//! The settings of the blobs of a secure network (PROTOCOL.md section 23.13).

use super::super::parse::number;
use super::super::setting::{Setting, assign, at_least};

/// The size of one blob.
pub(super) const MAX_BYTES: Setting = Setting {
    variable: "AGENTNET_BLOB_MAX_BYTES",
    flag: Some("blob-max-bytes"),
    value_name: "BYTES",
    default: "1073741824",
    help: "Size of one blob in secure mode, at least 1024",
    set: |config, value| assign(&mut config.blob_max_bytes, number(value)),
    limit: |config| at_least(&mut config.blob_max_bytes, 1024),
};

/// The size of all blobs of one account.
pub(super) const ACCOUNT_MAX_BYTES: Setting = Setting {
    variable: "AGENTNET_BLOB_ACCOUNT_MAX_BYTES",
    flag: Some("blob-account-max-bytes"),
    value_name: "BYTES",
    default: "10737418240",
    help: "Size of all blobs of one account in secure mode, at least 1024",
    set: |config, value| assign(&mut config.blob_account_max_bytes, number(value)),
    limit: |config| at_least(&mut config.blob_account_max_bytes, 1024),
};

/// The number of blobs of one account.
pub(super) const ACCOUNT_MAX: Setting = Setting {
    variable: "AGENTNET_BLOB_ACCOUNT_MAX",
    flag: Some("blob-account-max"),
    value_name: "N",
    default: "10000",
    help: "Blobs of one account in secure mode, at least 1",
    set: |config, value| assign(&mut config.blob_account_max, number(value)),
    limit: |config| at_least(&mut config.blob_account_max, 1),
};

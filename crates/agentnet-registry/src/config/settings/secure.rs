//! The settings of the secure mode (PROTOCOL.md section 23).

use super::super::setting::{NO_LIMIT, Setting};
use crate::secure::Authority;

/// Where the users of the NATS server are written.
pub(super) const USERS_FILE: Setting = Setting {
    variable: "AGENTNET_USERS_FILE",
    flag: Some("users-file"),
    value_name: "FILE",
    default: "",
    help: "In secure mode, write the users of the NATS server to this file, which its configuration includes",
    set: |config, value| {
        config.authority = Some(Authority::File {
            users: value.into(),
            pid: None,
        });
        Ok(())
    },
    limit: NO_LIMIT,
};

/// Which server reads them again.
pub(super) const PID_FILE: Setting = Setting {
    variable: "AGENTNET_NATS_PID_FILE",
    flag: Some("nats-pid-file"),
    value_name: "FILE",
    default: "",
    help: "Pid file of the NATS server, which gets SIGHUP when the users file has changed; without one, something else does it",
    set: |config, value| match &mut config.authority {
        Some(Authority::File { pid, .. }) => {
            *pid = Some(value.into());
            Ok(())
        }
        None => Err("it is of use with AGENTNET_USERS_FILE only".to_owned()),
    },
    limit: NO_LIMIT,
};

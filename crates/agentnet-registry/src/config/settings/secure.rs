//! The settings of the secure mode (PROTOCOL.md section 23).

use std::time::Duration;

use super::super::RegistryConfig;
use super::super::parse::{SECOND, number, time};
use super::super::setting::{NO_LIMIT, Setting};
use crate::secure::{Authority, SigningAuthority};

/// What tells the broker who may do what.
pub(super) const AUTHORITY: Setting = Setting {
    variable: "AGENTNET_AUTHORITY",
    flag: Some("authority"),
    value_name: "KIND",
    default: "",
    help: "In secure mode, how the NATS servers learn who may do what: file (users in a file), jwt (servers in operator mode) or \
           callout (servers that ask the registry)",
    set: |config, value| {
        config.authority = Some(match value.to_ascii_lowercase().as_str() {
            "file" => Authority::File {
                users: Default::default(),
                pid: None,
            },
            "jwt" => Authority::jwt(Default::default()),
            "callout" => Authority::callout(Default::default()),
            _ => return Err("expected `file`, `jwt` or `callout`".to_owned()),
        });
        Ok(())
    },
    limit: NO_LIMIT,
};

/// Where the users of the NATS server are written.
pub(super) const USERS_FILE: Setting = Setting {
    variable: "AGENTNET_USERS_FILE",
    flag: Some("users-file"),
    value_name: "FILE",
    default: "",
    help: "In secure mode, write the users of the NATS server to this file, which its configuration includes",
    set: |config, value| match &mut config.authority {
        None => {
            config.authority = Some(Authority::File {
                users: value.into(),
                pid: None,
            });
            Ok(())
        }
        Some(Authority::File { users, .. }) => {
            *users = value.into();
            Ok(())
        }
        Some(_) => Err("it is of use with the authority file only".to_owned()),
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
        _ => Err("it is of use with AGENTNET_USERS_FILE only".to_owned()),
    },
    limit: NO_LIMIT,
};

/// With what the registry signs.
pub(super) const KEY: Setting = Setting {
    variable: "AGENTNET_AUTHORITY_KEY",
    flag: Some("authority-key"),
    value_name: "FILE",
    default: "",
    help: "File with the seed of the account key (SA...) that signs members, for the authorities jwt and callout",
    set: |config, value| signing(config, |signing| signing.key = value.into()),
    limit: NO_LIMIT,
};

/// For which account.
pub(super) const ACCOUNT: Setting = Setting {
    variable: "AGENTNET_AUTHORITY_ACCOUNT",
    flag: Some("authority-account"),
    value_name: "ACCOUNT",
    default: "",
    help: "jwt: public key of the account (A...), where the key is one of its signing keys; callout: name of the account that \
           members are put into, by default AGENTNET",
    set: |config, value| signing(config, |signing| signing.account = Some(value.to_owned())),
    limit: NO_LIMIT,
};

/// The user that cuts members off.
pub(super) const SYS_CREDS: Setting = Setting {
    variable: "AGENTNET_SYS_CREDS",
    flag: Some("sys-creds"),
    value_name: "FILE",
    default: "",
    help: "Credentials of a user of the system account, or its seed (SU...): revoked members are cut off at once",
    set: |config, value| signing(config, |signing| signing.sys_creds = Some(value.into())),
    limit: NO_LIMIT,
};

/// Who signs the account.
pub(super) const OPERATOR_KEY: Setting = Setting {
    variable: "AGENTNET_OPERATOR_KEY",
    flag: Some("operator-key"),
    value_name: "FILE",
    default: "",
    help: "File with the seed of the operator's key or signing key (SO...), for the authority jwt: revocations are written into \
           the account",
    set: |config, value| match &mut config.authority {
        Some(Authority::Jwt(signing)) => {
            signing.operator_key = Some(value.into());
            Ok(())
        }
        _ => Err("it is of use with the authority jwt only".to_owned()),
    },
    limit: NO_LIMIT,
};

/// How long credentials live.
pub(super) const CREDENTIAL_SECONDS: Setting = Setting {
    variable: "AGENTNET_CREDENTIAL_SECONDS",
    flag: Some("credential-seconds"),
    value_name: "SECONDS",
    default: "",
    help: "How long a member's credential lives until it is renewed, at least 2; a day where members can be cut off at once, else \
           900",
    set: |config, value| {
        let lifetime = time(value, SECOND)?;
        signing(config, |signing| signing.lifetime = Some(lifetime))
    },
    limit: |config| {
        if let Some(lifetime) = config
            .authority
            .as_mut()
            .and_then(Authority::signing_mut)
            .and_then(lifetime)
        {
            *lifetime = (*lifetime).max(Duration::from_secs(2));
        }
    },
};

/// What the servers take as one line.
pub(super) const MAX_CONTROL_LINE: Setting = Setting {
    variable: "AGENTNET_MAX_CONTROL_LINE",
    flag: Some("max-control-line"),
    value_name: "BYTES",
    default: "",
    help: "max_control_line of the NATS servers, for the authority jwt: longer credentials are refused; by default 4096",
    set: |config, value| {
        let bytes = number(value)?;
        signing(config, |signing| signing.max_control_line = bytes)
    },
    limit: NO_LIMIT,
};

fn lifetime(signing: &mut SigningAuthority) -> Option<&mut Duration> {
    signing.lifetime.as_mut()
}

/// Changes the settings of an authority that signs.
fn signing(config: &mut RegistryConfig, change: impl FnOnce(&mut SigningAuthority)) -> Result<(), String> {
    match config.authority.as_mut().and_then(Authority::signing_mut) {
        Some(signing) => {
            change(signing);
            Ok(())
        }
        None => Err("it is of use with the authorities jwt and callout only".to_owned()),
    }
}

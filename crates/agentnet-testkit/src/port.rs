//! Free TCP ports that stay reserved while their server is down.
//!
//! The usual way (bind port 0, read it back) returns ports of the system's ephemeral range. When its server is killed,
//! the system soon gives such a port to another test's server, or to a client that reconnects and so connects to itself. A lease takes a port below that range and locks a file of that name, so that no
//! other test of this user takes it before the lease is dropped.

use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;

/// Below the ephemeral ranges of Linux (32768) and macOS (49152), above the well-known servers.
const PORT_RANGE: Range<u16> = 10_000..30_000;

/// A TCP port of 127.0.0.1 that was free when it was taken. No other test takes it until the lease is dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    port: u16,
    /// Holds the lock: the kernel releases it when the file is closed, also by a crash.
    _lock: File,
}

impl PortLease {
    /// Takes a free port.
    pub(crate) fn take() -> io::Result<Self> {
        let folder = lock_folder();
        fs::create_dir_all(&folder)?;
        let span = u64::from(PORT_RANGE.end - PORT_RANGE.start);
        let start = random_number() % span;
        for step in 0..span {
            let offset = u16::try_from((start + step) % span).map_err(io::Error::other)?;
            let port = PORT_RANGE.start + offset;
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(port.to_string()))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _lock: lock });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("no free port in {PORT_RANGE:?}"),
        ))
    }

    /// The port number.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// A folder per user, so that two users of a machine do not fail on each other's files.
fn lock_folder() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("agentnet-testkit-ports-{user}"))
}

/// A random number, from the seed that the standard library draws for its hash maps.
pub(crate) fn random_number() -> u64 {
    std::hash::RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn leases_never_share_a_port() {
        let leases: Vec<_> = (0..50).map(|_| PortLease::take().unwrap()).collect();
        let ports: HashSet<_> = leases.iter().map(PortLease::port).collect();
        assert_eq!(ports.len(), leases.len());
        assert!(ports.iter().all(|port| PORT_RANGE.contains(port)));
    }

    #[test]
    fn a_leased_port_is_locked_until_the_lease_is_dropped() {
        let lease = PortLease::take().unwrap();
        let path = lock_folder().join(lease.port().to_string());
        let other = OpenOptions::new().write(true).open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(lease);
        // Waits where a process that is just being started still holds a copy of the file for a moment.
        other.lock().unwrap();
    }

    #[test]
    fn a_port_in_use_is_skipped() {
        let lease = PortLease::take().unwrap();
        let port = lease.port();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        drop(lease);
        let leases: Vec<_> = (0..20).map(|_| PortLease::take().unwrap()).collect();
        assert!(leases.iter().all(|lease| lease.port() != port));
    }
}

//! The default username of the command line: one account for each user and host.

use agentnet_protocol::username::{normalise, usable};

/// `cli_<user>_<host>`, normalised by the registry's rule for usernames.
pub(crate) fn default_username() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let user = variable("USER")
        .or_else(|| variable("LOGNAME"))
        // Normalising a name in another script would leave too little to tell two users apart.
        .filter(|user| usable(user).is_ok())
        .unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    username_of(&user, &system.nodename().to_string_lossy())
}

fn username_of(user: &str, host: &str) -> String {
    // The host name without its domain.
    let host = host
        .split('.')
        .next()
        .filter(|host| !host.is_empty())
        .unwrap_or("localhost");
    normalise(&format!("cli_{user}_{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_host_make_a_username() {
        for (user, host, username) in [
            ("alice", "laptop", "cli_alice_laptop"),
            ("Alice B", "Mac-Book.local", "cli_alice_b_mac-book"),
            ("root", "", "cli_root_localhost"),
            ("日本", "h", "cli___h"),
            (
                "a-very-long-user-name",
                "and-a-long-host-name",
                "cli_a-very-long-user-name_and-a",
            ),
        ] {
            let made = username_of(user, host);
            assert!(made.len() <= 32);
            assert_eq!(made, username);
            assert_eq!(normalise(&made), made, "the registry keeps it as it is");
        }
    }
}

//! Where an HTTP tool may connect: hosts by name, and addresses after their lookup.
//!
//! The addresses are checked in the client's own resolver, whose answer is what it connects to: a name that has another address a
//! moment later gains nothing. Hosts that are written as addresses do not pass through a resolver and are checked by
//! [`AddressGuard::check_literal`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Hosts that a tool may ask: names, and `*.name` for those below a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostAllowlist {
    /// Lower case, without the dot at the end.
    exact: Vec<String>,
    /// With the dot at the beginning.
    suffixes: Vec<String>,
}

impl HostAllowlist {
    /// Reads the patterns of the configuration.
    pub(super) fn parse(patterns: &[String]) -> Result<Self, String> {
        let mut list = Self {
            exact: Vec::new(),
            suffixes: Vec::new(),
        };
        for pattern in patterns {
            let (name, hosts) = match pattern.strip_prefix("*.") {
                Some(name) => (name, &mut list.suffixes),
                None => (pattern.as_str(), &mut list.exact),
            };
            let host = Host::parse(name).map_err(|_| not_a_host(pattern))?;
            let is_suffix = pattern.starts_with("*.");
            let text = match &host {
                Host::Domain(domain) if domain.contains('*') => return Err(not_a_host(pattern)),
                Host::Domain(domain) => domain.trim_end_matches('.').to_owned(),
                Host::Ipv4(_) | Host::Ipv6(_) if is_suffix => return Err(not_a_host(pattern)),
                Host::Ipv4(_) | Host::Ipv6(_) => host.to_string(),
            };
            if text.is_empty() {
                return Err(not_a_host(pattern));
            }
            hosts.push(if is_suffix { format!(".{text}") } else { text });
        }
        Ok(list)
    }

    /// Whether the host of a URL may be asked.
    pub(super) fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.exact.contains(&host)
            || self
                .suffixes
                .iter()
                .any(|suffix| host.len() > suffix.len() && host.ends_with(suffix.as_str()))
    }
}

fn not_a_host(pattern: &str) -> String {
    format!("allow_hosts: {pattern:?} is not a host name, an address, or \"*.\" with a host name")
}

/// Which addresses may be connected to.
#[derive(Debug, Clone)]
pub(super) struct AddressGuard {
    allow_private: bool,
    /// Addresses that count as public: those of servers in tests.
    exempt: Vec<IpAddr>,
}

/// An address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("{host:?} has the address {address}, which is not public")]
pub(super) struct AddressRefused {
    host: String,
    address: IpAddr,
}

impl AddressGuard {
    /// Refuses addresses that are not public, unless they are allowed.
    pub(super) fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            exempt: Vec::new(),
        }
    }

    /// Counts some addresses as public.
    #[cfg(test)]
    pub(super) fn with_exempt(mut self, exempt: &[IpAddr]) -> Self {
        self.exempt = exempt.to_vec();
        self
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow_private || is_public(address) || self.exempt.contains(&address)
    }

    /// Checks a URL whose host is an address.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), AddressRefused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.allows(address) {
            return Ok(());
        }
        Err(AddressRefused {
            host: url.host_str().unwrap_or_default().to_owned(),
            address,
        })
    }

    /// The addresses of a host that may be connected to; an error if there are addresses, but none of these.
    fn filter(&self, host: &str, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, AddressRefused> {
        let allowed: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| self.allows(*address))
            .collect();
        match addresses.first() {
            Some(address) if allowed.is_empty() => Err(AddressRefused {
                host: host.to_owned(),
                address: *address,
            }),
            _ => Ok(allowed),
        }
    }
}

/// Looks names up and leaves out the addresses that the guard refuses.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    guard: AddressGuard,
    /// Names that are not looked up, as in a file of hosts.
    hosts: Arc<HashMap<String, Vec<IpAddr>>>,
}

impl GuardedResolver {
    /// Looks names up as the system does.
    pub(super) fn new(guard: AddressGuard) -> Self {
        Self {
            guard,
            hosts: Arc::default(),
        }
    }

    /// Knows the addresses of some names.
    #[cfg(test)]
    pub(super) fn with_hosts(mut self, hosts: HashMap<String, Vec<IpAddr>>) -> Self {
        self.hosts = Arc::new(hosts);
        self
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let addresses = match resolver.hosts.get(host) {
                Some(addresses) => addresses.clone(),
                None => tokio::net::lookup_host((host, 0))
                    .await?
                    .map(|address| address.ip())
                    .collect(),
            };
            let allowed = resolver.guard.filter(host, &addresses)?;
            // The client replaces port 0 by that of the URL.
            let addresses: Addrs = Box::new(allowed.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok::<Addrs, Box<dyn std::error::Error + Send + Sync>>(addresses)
        })
    }
}

/// Whether an address belongs to the public internet, by IANA's registries of special addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match a {
        // This network, private, loopback.
        0 | 10 | 127 => true,
        // Shared by carriers.
        100 => (64..128).contains(&b),
        // Link-local, the services of clouds for their machines among them.
        169 => b == 254,
        172 => (16..32).contains(&b),
        // Protocol assignments, documentation, relays of 6to4, private.
        192 => matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        // Benchmarks, documentation.
        198 => matches!((b, c), (18 | 19, _) | (51, 100)),
        203 => (b, c) == (0, 113),
        // Multicast, reserved, broadcast.
        224..=255 => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [.., high, low] = segments;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // An IPv4 address in the form of IPv6, and one behind NAT64.
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(high, low),
        // 6to4.
        [0x2002, v4_high, v4_low, ..] => embedded(v4_high, v4_low),
        // Protocol assignments with Teredo, and documentation.
        [0x2001, second, ..] if second < 0x200 => false,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Of the rest, only 2000::/3 is given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://api.example/x", true)]
    #[case("https://API.EXAMPLE./x", true)]
    #[case("https://a.example.org", true)]
    #[case("https://a.b.example.org", true)]
    #[case("https://example.org", false)]
    #[case("https://badexample.org", false)]
    #[case("https://api.example.evil.com", false)]
    #[case("https://evil.com/?api.example", false)]
    #[case("https://api.example@evil.com/", false)]
    #[case("https://evil.com#api.example", false)]
    #[case("http://0x08080808/", true)]
    #[case("http://8.8.8.9/", false)]
    #[case("http://[2606:4700::1111]/", true)]
    #[case("https://bücher.example/", true)]
    fn hosts_are_allowed_by_name(#[case] url: &str, #[case] expected: bool) {
        let patterns = [
            "api.example",
            "*.example.org",
            "8.8.8.8",
            "[2606:4700::1111]",
            "bücher.example",
        ]
        .map(str::to_owned);
        let allowlist = HostAllowlist::parse(&patterns).unwrap();
        assert_eq!(allowlist.allows(&Url::parse(url).unwrap()), expected);
    }

    #[rstest]
    #[case("*")]
    #[case("*.")]
    #[case("")]
    #[case("a.*.b")]
    #[case("https://a")]
    #[case("a/b")]
    #[case("*.10.0.0.1")]
    fn a_bad_pattern_is_refused(#[case] pattern: &str) {
        assert!(HostAllowlist::parse(&[pattern.to_owned()]).is_err());
    }

    #[rstest]
    #[case(&["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255"], true)]
    #[case(&["2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"], true)]
    #[case(&["0.0.0.0", "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"], false)]
    #[case(&["100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.9"], false)]
    #[case(&["224.0.0.1", "240.0.0.1", "255.255.255.255"], false)]
    #[case(&["::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "fec0::1"], false)]
    #[case(&["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"], false)]
    #[case(&["2002:7f00:1::1", "2002:a9fe:a9fe::", "100::1", "5f00::1", "4000::1"], false)]
    fn addresses_are_public_or_not(#[case] addresses: &[&str], #[case] expected: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[rstest]
    #[case("http://127.0.0.1/")]
    #[case("http://127.1/")]
    #[case("http://2130706433/")]
    #[case("http://0x7f.0.0.1/")]
    #[case("http://0177.0.0.1/")]
    #[case("http://[::1]/")]
    #[case("http://[::ffff:7f00:1]/")]
    #[case("http://169.254.169.254/latest/meta-data")]
    fn a_private_address_is_refused_in_any_spelling(#[case] url: &str) {
        let url = Url::parse(url).unwrap();
        assert!(AddressGuard::new(false).check_literal(&url).is_err());
        assert!(AddressGuard::new(true).check_literal(&url).is_ok());
    }

    #[tokio::test]
    async fn only_the_public_addresses_of_a_name_are_used() {
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        let public: IpAddr = "8.8.8.8".parse().unwrap();
        let hosts = HashMap::from([
            ("mixed.test".to_owned(), vec![private, public]),
            ("in.test".to_owned(), vec![private]),
        ]);
        let resolver = GuardedResolver::new(AddressGuard::new(false)).with_hosts(hosts);
        let found: Vec<IpAddr> = resolver
            .resolve("mixed.test".parse().unwrap())
            .await
            .unwrap()
            .map(|address| address.ip())
            .collect();
        assert_eq!(found, [public]);
        let Err(error) = resolver.resolve("in.test".parse().unwrap()).await else {
            panic!("a private address was allowed");
        };
        assert!(error.downcast_ref::<AddressRefused>().is_some(), "{error}");
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_err());
    }
}

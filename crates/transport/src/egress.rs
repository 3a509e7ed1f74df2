//! Which addresses may be destinations.
//!
//! A name is judged by what it resolves to, at the moment of connecting: a public name that leads to a private address is
//! refused, and what was judged is what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Longest wait for the resolver.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// The project's choice under `[egress]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Egress {
    /// Public addresses over https.
    #[default]
    PublicOnly,
    /// Also loopback and private addresses, and to those plain http (`allow_private = true`).
    AllowPrivate,
}

/// Why a destination was refused before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "{0} is a loopback, private or otherwise non-public address; to allow those, set `[egress] allow_private = true` in segport.toml"
    )]
    Private(String),
    #[error(
        "plain http would show the credential to everybody on the way: use https (or, for a loopback or private address, set `[egress] allow_private = true` in segport.toml)"
    )]
    Plain,
    #[error("plain http is only for loopback and private addresses, which {0} is not: use https")]
    PlainToPublic(String),
    #[error("the scheme `{0}` is not one of http and https")]
    Scheme(String),
}

/// The resolver found no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unresolved {
    #[error("the name {0} could not be resolved")]
    Failed(String, #[source] std::io::Error),
    #[error("the name {0} has no address")]
    Empty(String),
    #[error("the resolver did not answer for {0} within {within} s", within = RESOLVE_WITHIN.as_secs())]
    Late(String),
}

/// Which addresses one kind of connection may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Public,
    Anywhere,
    Private,
}

impl Egress {
    /// What the scheme of `url` may reach; an address given as a number, or as `localhost`, is judged at once.
    pub(crate) fn judge(self, url: &Url) -> Result<Reach, Refused> {
        let reach = match (url.scheme(), self) {
            ("https", Self::PublicOnly) => Reach::Public,
            ("https", Self::AllowPrivate) => Reach::Anywhere,
            ("http", Self::AllowPrivate) => Reach::Private,
            ("http", Self::PublicOnly) => return Err(Refused::Plain),
            (scheme, _) => return Err(Refused::Scheme(scheme.to_owned())),
        };
        match url.host() {
            Some(Host::Ipv4(ip)) => reach.admit(ip.into(), || ip.to_string())?,
            Some(Host::Ipv6(ip)) => reach.admit(ip.into(), || ip.to_string())?,
            // Always loopback (RFC 6761, 6.3), so no resolver need be asked.
            Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => {
                reach.admit(Ipv4Addr::LOCALHOST.into(), || name.to_owned())?;
            }
            Some(Host::Domain(_)) | None => {}
        }
        Ok(reach)
    }
}

impl Reach {
    fn admit(self, ip: IpAddr, name: impl FnOnce() -> String) -> Result<(), Refused> {
        match self {
            Self::Public if !is_public(ip) => Err(Refused::Private(name())),
            Self::Private if is_public(ip) => Err(Refused::PlainToPublic(name())),
            Self::Public | Self::Anywhere | Self::Private => Ok(()),
        }
    }
}

/// The system's resolver, less the addresses that are out of reach.
#[derive(Debug)]
pub(crate) struct GuardedResolver(pub(crate) Reach);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let asked = tokio::net::lookup_host((host.clone(), 0));
            let found = match tokio::time::timeout(RESOLVE_WITHIN, asked).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(error)) => return Err(Unresolved::Failed(host, error).into()),
                Err(_) => return Err(Unresolved::Late(host).into()),
            };
            let admitted: Addrs = Box::new(within(reach, &host, found)?.into_iter());
            Ok(admitted)
        })
    }
}

/// The addresses of `host` that may be reached; an error if there are some, but none of these.
fn within(
    reach: Reach,
    host: &str,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let mut refused = None;
    let mut admitted = Vec::with_capacity(found.len());
    for address in found {
        match reach.admit(address.ip(), || host.to_owned()) {
            Ok(()) => admitted.push(address),
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        _ if !admitted.is_empty() => Ok(admitted),
        Some(why) => Err(why.into()),
        None => Err(Unresolved::Empty(host.to_owned()).into()),
    }
}

/// Whether an address belongs to a host of the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let special = matches!(
        ip.octets(),
        [0 | 10 | 127, ..]                  // this network, private, loopback
        | [100, 64..=127, ..]               // carrier-grade NAT
        | [169, 254, ..]                    // link-local, and so the metadata services of clouds
        | [172, 16..=31, ..]                // private
        | [192, 0, 0 | 2, _]                // protocol assignments, documentation
        | [192, 88, 99, _]                  // former 6to4 relays
        | [192, 168, ..]                    // private
        | [198, 18 | 19, ..]                // benchmarks
        | [198, 51, 100, _]                 // documentation
        | [203, 0, 113, _]                  // documentation
        | [224..=255, ..] // multicast, reserved, broadcast
    );
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, fourth, .., high, low] = ip.segments();
    match (first, second) {
        // NAT64: an IPv4 address in another coat.
        (0x64, 0xff9b) => third == 0 && fourth == 0 && is_public_v4(embedded_v4(high, low)),
        // 6to4: likewise.
        (0x2002, _) => is_public_v4(embedded_v4(second, third)),
        // Protocol assignments (Teredo among them) and documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // Global unicast. What is outside it is loopback, unspecified, IPv4-mapped, unique local, link-local, multicast or unassigned.
        (0x2000..=0x3fff, _) => true,
        _ => ip.to_ipv4_mapped().is_some_and(is_public_v4),
    }
}

fn embedded_v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_and_other_addresses() {
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "223.255.255.254",
            "2606:4700::1111",
            "2a00:1450:4001::8a",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn addresses_in_urls() {
        use Egress::{AllowPrivate, PublicOnly};
        let check = |egress: Egress, url: &str, expected: Result<Reach, &str>| {
            let verdict = egress.judge(&Url::parse(url).unwrap());
            match (&verdict, expected) {
                (Ok(reach), Ok(expected)) => assert_eq!(*reach, expected, "{url}"),
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{url}: {why}"),
                _ => panic!("{egress:?} {url}: {verdict:?}"),
            }
        };
        check(PublicOnly, "https://api.example.com/v1", Ok(Reach::Public));
        check(PublicOnly, "https://8.8.8.8/", Ok(Reach::Public));
        let hint = Err("allow_private = true");
        check(PublicOnly, "https://127.0.0.1/", hint);
        check(PublicOnly, "https://[::1]/", hint);
        check(PublicOnly, "https://[::ffff:10.0.0.1]/", hint);
        // Other spellings of 127.0.0.1.
        for spelling in ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"] {
            check(PublicOnly, &format!("https://{spelling}/"), hint);
        }
        for name in ["localhost", "LOCALHOST:8443", "app.localhost"] {
            check(PublicOnly, &format!("https://{name}/"), hint);
            check(AllowPrivate, &format!("http://{name}/"), Ok(Reach::Private));
        }
        check(PublicOnly, "https://localhost.example.com/", Ok(Reach::Public));
        check(PublicOnly, "http://api.example.com/", Err("use https"));
        check(PublicOnly, "http://127.0.0.1/", hint);
        check(AllowPrivate, "https://127.0.0.1/", Ok(Reach::Anywhere));
        check(AllowPrivate, "https://api.example.com/", Ok(Reach::Anywhere));
        check(AllowPrivate, "http://127.0.0.1:8080/", Ok(Reach::Private));
        check(AllowPrivate, "http://sandbox:8080/", Ok(Reach::Private));
        check(AllowPrivate, "http://8.8.8.8/", Err("use https"));
        check(AllowPrivate, "ftp://127.0.0.1/", Err("scheme `ftp`"));
        check(AllowPrivate, "file:///etc/passwd", Err("scheme `file`"));
    }

    #[test]
    fn resolved_addresses() {
        let check = |reach: Reach, found: &[&str], expected: Result<&[&str], &str>| {
            let parse = |texts: &[&str]| -> Vec<SocketAddr> {
                texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
            };
            let verdict = within(reach, "crm.example.com", parse(found));
            match (&verdict, expected) {
                (Ok(admitted), Ok(expected)) => assert_eq!(*admitted, parse(expected)),
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{why}"),
                _ => panic!("{reach:?} {found:?}: {verdict:?}"),
            }
        };
        check(Reach::Public, &["10.0.0.1", "8.8.8.8", "::1"], Ok(&["8.8.8.8"]));
        check(Reach::Public, &["10.0.0.1", "fd00::1"], Err("crm.example.com is a loopback, private"));
        check(Reach::Private, &["10.0.0.1", "8.8.8.8"], Ok(&["10.0.0.1"]));
        check(Reach::Private, &["8.8.8.8"], Err("which crm.example.com is not"));
        check(Reach::Anywhere, &["10.0.0.1", "8.8.8.8"], Ok(&["10.0.0.1", "8.8.8.8"]));
        check(Reach::Public, &[], Err("has no address"));
    }
}

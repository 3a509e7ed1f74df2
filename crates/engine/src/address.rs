//! E-mail addresses: who somebody is, however the address was typed.

use std::collections::BTreeSet;
use std::fmt;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use segport_ledger::{Hasher, Identity};

use crate::check;

/// The form in which addresses are compared, hashed and sent: trimmed, in lower case. `None` if nothing is left.
pub(crate) fn normalised(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_lowercase())
}

/// Whether the text of these bytes is in that form already, as far as a quick look can tell: without a branch for each byte.
pub(crate) fn is_normal(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() & !byte.is_ascii_uppercase();
    !text.is_empty() && text.iter().fold(true, |all, byte| all & is_plain(byte))
}

/// An e-mail address in the form in which a run compares it. Profile data, so its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Reads an address as a run reads one from a source; `None` if a run would not take it for one.
    pub fn parse(text: &str) -> Option<Self> {
        normalised(text).filter(|address| check::is_email(address)).map(Self)
    }

    /// Who that is in the ledger with this hasher.
    pub fn identity(&self, hasher: &Hasher) -> Identity {
        hasher.identity(self.0.as_bytes())
    }

    /// Who has the other spellings of this address, up to five: letters composed or not (NFC, NFD), and an international domain
    /// in letters or as it goes over the wire (UTS #46). All reach the same mailbox, but a destination may take them for
    /// different people, and so do runs.
    pub fn other_spellings(&self, hasher: &Hasher) -> Vec<Identity> {
        let Some((local, domain)) = self.0.rsplit_once('@') else { return Vec::new() };
        if local.is_ascii() && domain.is_ascii() && !domain.contains("xn--") {
            return Vec::new();
        }
        let (letters, _) = idna::domain_to_unicode(domain);
        let composed = ComposingNormalizerBorrowed::new_nfc();
        let decomposed = DecomposingNormalizerBorrowed::new_nfd();
        let locals = [composed.normalize(local), decomposed.normalize(local)];
        let domains = [decomposed.normalize(&letters).into_owned(), letters.clone()];
        let wire = idna::domain_to_ascii(domain).ok();
        let spellings: BTreeSet<String> = locals
            .iter()
            .flat_map(|local| domains.iter().chain(&wire).map(move |domain| format!("{local}@{domain}")))
            .filter(|spelling| *spelling != self.0)
            .collect();
        spellings.iter().map(|spelling| hasher.identity(spelling.as_bytes())).collect()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

#[cfg(test)]
mod tests {
    use segport_core::Secret;
    use segport_ledger::StateKey;

    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_typed() {
        let hasher = Hasher::new(&StateKey::from_secret(&Secret::new("of this test, and no other")).unwrap());
        let check = |text: &str, expected: Option<&str>| {
            let found = Address::parse(text).map(|address| address.identity(&hasher));
            assert_eq!(found, expected.map(|address| hasher.identity(address.as_bytes())), "{text:?}");
        };
        check("anna@example.com", Some("anna@example.com"));
        check("  Anna@Example.COM\r\n", Some("anna@example.com"));
        check("ЗОЯ@Пример.рф", Some("зоя@пример.рф"));
        check("anna@exa\u{200b}mple.com", None);
        check("", None);
        check("  ", None);
        check("anna", None);
        check("anna@example.com, ben@example.com", None);
        assert_eq!(format!("{:?}", Address::parse("anna@example.com")), "Some(Address(..))");
    }

    #[test]
    fn an_address_knows_its_other_spellings() {
        let hasher = Hasher::new(&StateKey::from_secret(&Secret::new("of this test, and no other")).unwrap());
        let check = |alike: &[&str]| {
            let identities = |text: &str| {
                let address = Address::parse(text).unwrap();
                let all: BTreeSet<Identity> =
                    address.other_spellings(&hasher).into_iter().chain([address.identity(&hasher)]).collect();
                all
            };
            let expected: BTreeSet<Identity> = alike.iter().map(|text| hasher.identity(text.as_bytes())).collect();
            for text in alike {
                assert_eq!(identities(text), expected, "{text:?}");
            }
        };
        check(&["anna@example.com"]);
        check(&["anna+news@example.com"]);
        check(&["anna@xn--bcher-kva.example", "anna@bücher.example", "anna@bu\u{308}cher.example"]);
        check(&["zoë@example.com", "zoe\u{308}@example.com"]);
        check(&["зоя@пример.рф", "зоя@xn--e1afmkfd.xn--p1ai"]);
        check(&[
            "zoë@bücher.example",
            "zoe\u{308}@bücher.example",
            "zoë@bu\u{308}cher.example",
            "zoe\u{308}@bu\u{308}cher.example",
            "zoë@xn--bcher-kva.example",
            "zoe\u{308}@xn--bcher-kva.example",
        ]);
    }

    #[test]
    fn what_looks_normal_is() {
        for text in ["anna@example.com", "o'neil@example.ie", "Anna@example.com", " a@b.co", "a b", "", "зоя@пример.рф"]
        {
            assert!(!is_normal(text.as_bytes()) || normalised(text).as_deref() == Some(text), "{text:?}");
        }
    }
}

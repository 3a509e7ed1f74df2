//! Made-up profiles: the same ones every time, as many as asked for, with the names that break careless software.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const GIVEN: [&str; 40] = [
    "Anna",
    "Bjørn",
    "Chloé",
    "Dmitri",
    "Élodie",
    "Fatima",
    "Günther",
    "Hana",
    "Ingrid",
    "João",
    "Kwame",
    "Łukasz",
    "Maria",
    "Nguyễn",
    "Olga",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Tomáš",
    "Ulla",
    "Vidar",
    "Wei",
    "Xóchitl",
    "Yusuf",
    "Zoë",
    "Anne-Marie",
    "D'Arcy",
    "Александра",
    "Юлия",
    "Νίκος",
    "美咲",
    "James \"Jim\"",
    "Mary, Ann",
    "Σοφία",
    "Liv",
    "Erik",
    "Nora",
    "Óscar",
    "Sunny ☀\u{fe0f}",
];

const FAMILY: [&str; 40] = [
    "Hansen",
    "Müller",
    "O'Brien",
    "García",
    "Иванова",
    "Öztürk",
    "Nowak",
    "Smith",
    "Larsen, Jr.",
    "van der Berg",
    "Dubois",
    "Rossi",
    "Andersson",
    "Ødegård",
    "Fernández",
    "Kovács",
    "Novák",
    "Schröder",
    "MacDonald",
    "Petrov",
    "山田",
    "李",
    "Papadopoulos",
    "Silva e Souza",
    "Kim",
    "Ólafsdóttir",
    "Björk \"BB\"",
    "Ruiz-Picasso",
    "Łuczak",
    "Haugen",
    "Johansen",
    "Weiß",
    "Šimková",
    "D'Angelo",
    "Null",
    "True",
    "Test; DROP TABLE",
    "Rocket 🚀",
    "Berg",
    "Lund",
];

const EMPLOYERS: [&str; 10] = [
    "Nordlys AS",
    "Smith, Sons & Daughters",
    "Café \"Zur Post\"",
    "Acme",
    "Blåbær Media",
    "Ромашка",
    "Initech",
    "Hav og Land",
    "Ultra;Market",
    "",
];

const PLACES: [(&str, &str); 10] = [
    ("Oslo", "NO"),
    ("Bergen", "NO"),
    ("Tromsø", "NO"),
    ("Göteborg", "SE"),
    ("København", "DK"),
    ("Zürich", "CH"),
    ("Łódź", "PL"),
    ("São Paulo", "BR"),
    ("Київ", "UA"),
    ("St. John's", "CA"),
];

const DOMAINS: [&str; 8] = [
    "mail.example",
    "post.example",
    "nordlys.example",
    "acme.example",
    "inbox.example",
    "brev.example",
    "company.example",
    "home.example",
];

/// The columns of every file.
pub(crate) const HEADER: &str =
    "customer_id,email_address,given_name,family_name,employer,city,country,ltv,orders,last_order";

/// How good the data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    /// Every profile can be sent.
    Clean,
    /// As data is: some lack an address, have one that is none, or share theirs with another profile.
    Real,
}

/// Writes `profiles` profiles to `path` as CSV, and those with many orders to `vip` too, if given.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(path: &Path, vip: Option<&Path>, profiles: u64, quality: Quality) -> io::Result<()> {
    let mut file = begin(path)?;
    let mut vip = vip.map(begin).transpose()?;
    for number in 1..=profiles {
        let profile = Profile::new(number, quality);
        let line = profile.line();
        file.write_all(line.as_bytes())?;
        if let Some(vip) = &mut vip
            && profile.orders >= 24
        {
            vip.write_all(line.as_bytes())?;
        }
    }
    if let Some(vip) = &mut vip {
        vip.flush()?;
    }
    file.flush()
}

fn begin(path: &Path) -> io::Result<BufWriter<File>> {
    let mut file = BufWriter::new(File::create_new(path)?);
    writeln!(file, "{HEADER}")?;
    Ok(file)
}

#[derive(Debug)]
struct Profile {
    number: u64,
    email: String,
    given: &'static str,
    family: &'static str,
    employer: &'static str,
    place: (&'static str, &'static str),
    cents: u64,
    orders: u64,
    last_order: String,
}

impl Profile {
    fn new(number: u64, quality: Quality) -> Self {
        let mut dice = Dice(number);
        let place = dice.pick(&PLACES);
        // Whoever cannot be reached does not order.
        let orders = if flaw(number, quality).is_some() { 0 } else { dice.below(26) };
        let (month, day) = (1 + dice.below(12), 1 + dice.below(28));
        Self {
            number,
            email: email(number, quality),
            given: dice.pick(&GIVEN),
            family: dice.pick(&FAMILY),
            employer: dice.pick(&EMPLOYERS),
            place,
            cents: orders * (500 + dice.below(20_000)),
            orders,
            last_order: if orders == 0 { String::new() } else { format!("2026-{month:02}-{day:02}") },
        }
    }

    fn line(&self) -> String {
        let Self { number, email, orders, last_order, .. } = self;
        let [given, family, employer] = [self.given, self.family, self.employer].map(field);
        let [city, country] = [self.place.0, self.place.1].map(field);
        let ltv = format!("{}.{:02}", self.cents / 100, self.cents % 100);
        format!("C{number:07},{email},{given},{family},{employer},{city},{country},{ltv},{orders},{last_order}\n")
    }
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    Missing,
    Malformed,
    Shared,
}

fn flaw(number: u64, quality: Quality) -> Option<Flaw> {
    match (quality, number % 250) {
        (Quality::Real, 83) => Some(Flaw::Missing),
        (Quality::Real, 167) => Some(Flaw::Malformed),
        (Quality::Real, 211) => Some(Flaw::Shared),
        _ => None,
    }
}

/// Unique, unless the data is to be as it is in life.
fn email(number: u64, quality: Quality) -> String {
    let whose = match flaw(number, quality) {
        Some(Flaw::Missing) => return String::new(),
        Some(Flaw::Malformed) => return format!("customer.{number} at mail.example"),
        // The address of the profile before.
        Some(Flaw::Shared) => number - 1,
        None => number,
    };
    let domain = Dice(whose ^ 0x5eed).pick(&DOMAINS);
    format!("customer.{whose}@{domain}")
}

/// A CSV field, quoted where needed.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// The same numbers for the same profile: splitmix64.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 up to, but not including, `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        const { assert!(N > 0, "there must be something to pick from") };
        let mut at = self.below(N as u64);
        let mut chosen = from[0];
        for &one in from {
            if at == 0 {
                chosen = one;
                break;
            }
            at -= 1;
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn profiles_are_the_same_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1.csv"), dir.path().join("2.csv"));
        write(&one, None, 500, Quality::Real).unwrap();
        write(&two, None, 500, Quality::Real).unwrap();
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    }

    #[test]
    fn clean_addresses_are_unique_and_lead_nowhere() {
        let emails: HashSet<_> = (1..=20_000).map(|number| email(number, Quality::Clean)).collect();
        assert_eq!(emails.len(), 20_000);
        assert!(emails.iter().all(|email| email.ends_with(".example")));
    }

    #[test]
    fn real_data_has_flaws() {
        let emails: Vec<_> = (1..=1000).map(|number| email(number, Quality::Real)).collect();
        assert_eq!(emails.iter().filter(|email| email.is_empty()).count(), 4);
        assert_eq!(emails.iter().filter(|email| email.contains(' ')).count(), 4);
        assert_eq!(emails.iter().collect::<HashSet<_>>().len(), 1000 - 4 - 3, "4 shared, and 3 of the 4 empty ones");
    }

    #[test]
    fn hostile_names_are_there_and_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let (all, vip) = (dir.path().join("all.csv"), dir.path().join("vip.csv"));
        write(&all, Some(&vip), 1000, Quality::Clean).unwrap();
        let text = std::fs::read_to_string(all).unwrap();
        for part in ["\"Mary, Ann\"", "\"James \"\"Jim\"\"\"", "Müller", "Иванова", "🚀", "山田"] {
            assert!(text.contains(part), "{part}");
        }
        assert_eq!(text.lines().count(), 1001);
        let vip = std::fs::read_to_string(vip).unwrap();
        assert!((20..200).contains(&vip.lines().count()));
        assert!(vip.starts_with(HEADER) && vip.lines().all(|line| text.contains(line)));
    }

    #[test]
    fn an_existing_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "mine").unwrap();
        assert!(write(&path, None, 1, Quality::Clean).is_err());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
    }
}

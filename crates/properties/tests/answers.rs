//! Good answers, damaged in every way that a mutator finds: nobody may be done whom the answer does not name.
//!
//! Each case is made from its number alone, so a failure names all that is needed to see it again. `SEGPORT_CASES` sets how
//! many there are; `cargo xtask mutate` runs a million.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use segport_properties::answer::{Acknowledged, acknowledged};
use serde_json::Value;

/// Cases without `SEGPORT_CASES`.
const CASES: u64 = 20_000;

/// SplitMix64: small, and good enough to choose with.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// An answer before it is text.
#[derive(Clone)]
struct Answer {
    map_key: String,
    ids_key: String,
    /// Addresses and ids as JSON.
    map: Option<Vec<(String, String)>>,
    ids: Option<Vec<String>>,
    more: Vec<(String, String)>,
    map_first: bool,
}

/// Addresses as an export sends them: lower-cased, no two alike.
fn sent(dice: &mut Dice) -> Vec<String> {
    let count = match dice.below(20) {
        0 => 100,
        1 => 1,
        _ => 2 + dice.below(6),
    };
    let domains = ["x.no", "example.com", "kiosk.example", "bücher.example", "a-b.co.uk"];
    let names = ["anna", "k", "o'neil", "jürgen", "a.b+c", "iı", "\"odd\"", "straße"];
    (0..count).map(|number| format!("{}{number}@{}", dice.pick(&names), dice.pick(&domains))).collect()
}

fn good(dice: &mut Dice, sent: &[String]) -> Answer {
    let ids: Vec<String> =
        (0..sent.len()).map(|number| format!("\"person_{:04X}-{number}\"", dice.roll() as u16)).collect();
    let map = sent.iter().map(|address| Value::from(address.as_str()).to_string()).zip(ids.clone()).collect();
    let kind = dice.below(6);
    Answer {
        map_key: "\"email_contact_map\"".to_owned(),
        ids_key: "\"contact_ids\"".to_owned(),
        map: (kind != 0).then_some(map),
        ids: (kind != 1).then_some(ids),
        more: if kind == 2 {
            vec![("\"_removeResultKeys\"".to_owned(), "[{\"x\":\"y\"}]".to_owned())]
        } else {
            Vec::new()
        },
        map_first: dice.below(3) == 0,
    }
}

/// Changes what the answer says.
fn distort(dice: &mut Dice, answer: &mut Answer) {
    let values =
        ["null", "7", "\"\"", "\" \"", "\".\"", "\"..\"", "[\"1\"]", "{\"id\":\"1\"}", "true", "\"\\u0031\"", "1e999"];
    let keys = [
        "\"data\"",
        "\"email_contact_map \"",
        "\"emailContactMap\"",
        "\"Email_contact_map\"",
        "\"contact_ids\"",
        "\"email_contact_m\\u0061p\"",
    ];
    let choice = dice.below(14);
    if let (0..=8, Some(map)) = (choice, &mut answer.map) {
        if map.is_empty() {
            return;
        }
        let (one, other) = (dice.below(map.len()), dice.below(map.len()));
        match choice {
            0 => drop(map.remove(one)),
            1 => {
                let id = map[one].1.clone();
                map[one].1 = std::mem::replace(&mut map[other].1, id);
            }
            2 => map[one].0 = strange(dice, &map[one].0),
            3 => map[one].1 = dice.pick(&values).to_owned(),
            4 => {
                let again = (map[one].0.clone(), dice.pick(&values).to_owned());
                map.insert(other, again);
            }
            5 => map[one].0 = map[other].0.clone(),
            6 => map.swap(one, other),
            7 => map.push((strange(dice, &map[one].0), "\"person_0\"".to_owned())),
            _ => map.truncate(one),
        }
        return;
    }
    match choice {
        9 => answer.map_key = dice.pick(&keys).to_owned(),
        10 => {
            if let Some(ids) = &mut answer.ids {
                let at = dice.below(ids.len());
                match dice.below(3) {
                    0 => drop((!ids.is_empty()).then(|| ids.remove(at))),
                    1 => ids.insert(at, dice.pick(&values).to_owned()),
                    _ => ids.rotate_left(at),
                }
            }
        }
        11 => answer.ids_key = dice.pick(&["\"contactIds\"", "\"email_contact_map\"", "\"ids\""]).to_owned(),
        12 => answer.more.push((dice.pick(&keys).to_owned(), dice.pick(&values).to_owned())),
        _ => answer.map = None,
    }
}

/// An address that is not, or not quite, the one that it is made from.
fn strange(dice: &mut Dice, address: &str) -> String {
    match dice.below(10) {
        0 => address.to_uppercase(),
        1 => address.replace('k', "\u{212a}"),
        2 => address.replace('s', "\u{17f}"),
        3 => address.replace('@', "\\u0040"),
        4 => address.replacen('"', "\" ", 1),
        5 => address.replace('.', ".."),
        6 => address.replace("i", "\u{130}"),
        7 => address.replace('@', "\u{ff20}"),
        8 => "\"somebody@elsewhere.example\"".to_owned(),
        _ => address.replace("ß", "ss").replace('0', "O"),
    }
}

fn text(dice: &mut Dice, answer: &Answer) -> String {
    let mut members: Vec<String> = Vec::new();
    let joined = |entries: &[(String, String)]| {
        entries.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(",")
    };
    members.extend(answer.ids.as_ref().map(|ids| format!("{}:[{}]", answer.ids_key, ids.join(","))));
    if let Some(map) = &answer.map {
        let map = format!("{{{}}}", joined(map));
        let map = match dice.below(24) {
            0 => format!("[{map}]"),
            1 => format!("{{\"email_contact_map\":{map}}}"),
            2 => Value::from(map).to_string(),
            _ => map,
        };
        members.push(format!("{}:{map}", answer.map_key));
    }
    if answer.map_first {
        members.reverse();
    }
    members.extend(answer.more.iter().map(|(key, value)| format!("{key}:{value}")));
    let whole = format!("{{{}}}", members.join(","));
    match dice.below(24) {
        0 => format!("[{whole}]"),
        1 => format!("{{\"data\":{whole}}}"),
        2 => format!("{whole}{whole}"),
        3 => format!("\u{feff}{whole}"),
        4 => Value::from(whole).to_string(),
        5 => whole.replace(',', " ,\r\n\t"),
        _ => whole,
    }
}

/// Changes the bytes.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let (at, other) = (dice.below(bytes.len()), dice.below(bytes.len()));
    let (from, to) = (at.min(other), at.max(other));
    match dice.below(9) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(from..to.min(from + 40))),
        3 => {
            let piece = bytes[from..to.min(from + 40)].to_vec();
            bytes.splice(other..other, piece);
        }
        4 => {
            bytes[at] = *dice
                .pick(&[b"\"", b"{", b"}", b"[", b"]", b",", b":", b"\\", b"@", b"\x00", b"\xff"] as &[&[u8; 1]])
                .first()
                .unwrap()
        }
        5 => bytes.swap(at, other),
        6 => {
            let escape = format!("\\u{:04x}", bytes[at]);
            bytes.splice(at..=at, escape.into_bytes());
        }
        7 => bytes.insert(at, dice.roll() as u8),
        _ => bytes[from..to].reverse(),
    }
}

#[test]
fn mutated_answers_acknowledge_nobody_whom_they_do_not_name() {
    let cases = std::env::var("SEGPORT_CASES").map_or(CASES, |cases| cases.parse().expect("SEGPORT_CASES is a number"));
    let (mut all, mut some, mut none, mut unjudged) = (0_u64, 0_u64, 0_u64, 0_u64);
    for case in 0..cases {
        let dice = &mut Dice(case);
        let sent = sent(dice);
        let mut answer = good(dice, &sent);
        for _ in 0..dice.below(4) {
            distort(dice, &mut answer);
        }
        let mut bytes = text(dice, &answer).into_bytes();
        for _ in 0..dice.below(4) {
            damage(dice, &mut bytes);
        }
        match acknowledged(&bytes, &sent) {
            Ok(Acknowledged::Judged(0)) => none += 1,
            Ok(Acknowledged::Judged(done)) if done == sent.len() => all += 1,
            Ok(Acknowledged::Judged(_)) => some += 1,
            Ok(Acknowledged::Unjudged) => unjudged += 1,
            Err(wrong) => panic!("case {case}: {wrong}"),
        }
    }
    assert!(unjudged * 20 < cases, "{unjudged} of {cases} cases were not judged");
    // A mutator that only breaks answers, or breaks none, would show nothing.
    for (what, count) in [("all", all), ("some", some), ("none", none)] {
        assert!(count * 20 > cases, "{what} acknowledged in {count} of {cases} cases only");
    }
}

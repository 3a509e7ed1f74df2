//! What becomes of rows that wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use jiff::Timestamp;
use proptest::prelude::*;
use segport_ledger::{Fingerprint, KeyHash, Memory, NewRun, NoFaults, RunLedger, StateKey, Store};

use super::*;
use crate::outbox::Outbox;

fn store() -> Store {
    let key = StateKey::from_secret(&segport_core::Secret::new("of the parcels, and no other")).unwrap();
    Store::in_memory(&Memory::new(|| Duration::ZERO), &key, Arc::new(NoFaults))
}

async fn begin(segments: &[&str]) -> RunLedger {
    begin_in(&store(), segments).await
}

async fn begin_in(store: &Store, segments: &[&str]) -> RunLedger {
    let segments: Vec<String> = segments.iter().map(|id| (*id).to_owned()).collect();
    let new = NewRun { run_id: "run", started_at: Timestamp::UNIX_EPOCH, segments: &segments };
    store.lease("export").await.unwrap().begin(new).await.unwrap()
}

/// Rows that are named by their numbers.
fn bundle(rows: &[u32], is_in_doubt: fn(u32) -> bool) -> Bundle {
    let names: StringArray = rows.iter().map(|&row| Some(value(row))).collect();
    let batch = RecordBatch::try_from_iter([("f0", Arc::new(names) as _)]).unwrap();
    let ticket = |&row: &u32| Ticket {
        identity: identity(row),
        key: KeyHash::from_bits(row.into()),
        fingerprint: Fingerprint::from_bits(7),
        added: true,
        in_doubt: is_in_doubt(row),
    };
    Bundle { rows: EncodedRows::new(&batch).unwrap(), tickets: rows.iter().map(ticket).collect() }
}

fn identity(row: u32) -> Identity {
    Identity::from_bits(row.into())
}

fn packer<'a>(run: &'a RunLedger, segments: &'a [Listed], batch: BatchSize, room: &'a Room) -> Packer<'a> {
    let RunLedger { snapshot, journal, .. } = run;
    Packer {
        index: &snapshot.index,
        journal,
        batch,
        segments,
        most_loose: MOST_LOOSE,
        room,
        replaced: Memberships::NONE,
    }
}

/// So many rows, whatever their bytes.
fn narrow(rows: usize) -> BatchSize {
    BatchSize { rows, bytes: usize::MAX }
}

/// Cuts blocks of bundles of so many rows, which are numbered, and in doubt as told; returns which of them each parcel has,
/// those in doubt with a question mark.
async fn cut(blocks: &[&[u32]], rows_per_batch: usize, is_in_doubt: fn(u32) -> bool) -> Vec<String> {
    let run = begin(&["news"]).await;
    let listed = [Listed { number: run.snapshot.segments()[0], position: 0 }];
    let room = Room::new(MOST_ON_THEIR_WAY);
    let packer = packer(&run, &listed, narrow(rows_per_batch), &room);
    let mut rows = 0..;
    let mut next = |&count: &u32| bundle(&rows.by_ref().take(count as usize).collect::<Vec<_>>(), is_in_doubt);
    let (mut loose, mut parcels) = (Loose::default(), Vec::new());
    for bundles in blocks {
        parcels.extend(packer.cut(bundles.iter().map(&mut next).collect(), &mut loose).await.unwrap());
    }
    parcels.extend(packer.tie_all(loose).unwrap());
    parcels.iter().map(shown).collect()
}

fn shown(parcel: &Parcel) -> String {
    let Parcel::Upsert { rows, tickets, in_doubt, join, .. } = parcel else { panic!("{parcel:?}") };
    assert_eq!(join, &[0], "all are new");
    let rows = rows.decode().unwrap();
    let names = rows.column(0).as_string::<i32>().iter().flatten();
    let names: Vec<&str> = names.map(|name| name.trim_end_matches('x')).collect();
    let identities: Vec<String> = tickets.iter().map(|ticket| ticket.identity.bits().to_string()).collect();
    assert_eq!(names, identities, "each row has its own ticket");
    format!("{}{}", names.join(" "), if *in_doubt { " ?" } else { "" })
}

#[tokio::test]
async fn bundles_that_are_alike_are_parcels_as_they_are() {
    assert_eq!(cut(&[&[3, 3, 2]], 3, |_| false).await, ["0 1 2", "3 4 5", "6 7"]);
    assert_eq!(cut(&[&[3], &[3, 2]], 3, |_| true).await, ["0 1 2 ?", "3 4 5 ?", "6 7 ?"]);
    assert_eq!(cut(&[&[]], 3, |_| false).await, [""; 0]);
}

#[tokio::test]
async fn rows_that_are_not_alike_are_put_together_anew() {
    assert_eq!(cut(&[&[3, 3, 2]], 3, |row| row % 3 == 1).await, ["0 2 3", "1 4 7 ?", "5 6"]);
    assert_eq!(cut(&[&[3, 3]], 3, |row| row < 4).await, ["0 1 2 ?", "4 5", "3 ?"]);
}

#[tokio::test]
async fn what_does_not_fill_a_call_waits_for_the_next_block() {
    let mixed = cut(&[&[3, 3], &[3, 3], &[3, 3, 1]], 3, |row| row % 3 == 1).await;
    assert_eq!(mixed, ["0 2 3", "5 6 8", "1 4 7 ?", "9 11 12", "14 15 17", "10 13 16 ?", "18"]);
    // What waits for its kind while blocks of another one go as they are.
    let later = cut(&[&[3], &[3, 3], &[3, 2]], 3, |row| row == 1 || row > 12).await;
    assert_eq!(later, ["3 4 5", "6 7 8", "0 2 9", "10 11 12", "1 13 ?"]);
}

#[tokio::test]
async fn bundles_of_several_calls_are_cut() {
    assert_eq!(cut(&[&[4, 4, 1]], 2, |_| false).await, ["0 1", "2 3", "4 5", "6 7", "8"]);
    assert_eq!(cut(&[&[4, 3]], 1, |row| row == 5).await, ["0", "1", "2", "3", "4", "6", "5 ?"]);
    assert_eq!(cut(&[&[4], &[4]], 3, |_| false).await, ["0 1 2", "3 4 5", "6 7"]);
}

#[tokio::test]
async fn what_nobody_takes_any_more_comes_back_without_an_intent() {
    let store = store();
    let run = begin_in(&store, &["news"]).await;
    let listed = [Listed { number: run.snapshot.segments()[0], position: 0 }];
    let room = Room::new(MOST_ON_THEIR_WAY);
    let packer = packer(&run, &listed, narrow(2), &room);
    let (parcels, mut to_deliver) = mpsc::channel::<Dispatched>(2);
    let first = vec![bundle(&[0, 1], |_| false), bundle(&[2], |_| false)];
    let second = (3..40).step_by(2).map(|row| bundle(&[row, row + 1], |_| false)).collect();
    let mut blocks = [first, second].into_iter();
    let take = async {
        let mut taken = to_deliver.recv().await.unwrap().0.len();
        to_deliver.close();
        while let Some((parcel, _)) = to_deliver.recv().await {
            taken += parcel.len();
        }
        taken
    };
    let (rest, taken) = tokio::join!(packer.pack_rows(|| blocks.next().map(Ok), &parcels), take);
    let rest: Vec<u128> = rest.unwrap().iter().map(|ticket| ticket.identity.bits()).collect();
    assert_eq!(rest.len() + taken, 41);
    assert!(rest.contains(&2) && rest.contains(&40), "{rest:?}");

    let leaver = Leaver {
        identity: identity(0),
        key: KeyHash::from_bits(0),
        segment: listed[0].number,
        destination_id: None,
        asked: false,
        is_out_of_reach: false,
    };
    assert_eq!(packer.pack_leavers(listed[0], vec![leaver.clone()], &parcels).await.unwrap(), [leaver]);
    let mut intents = store.rows("run", None).await.unwrap();
    assert_eq!(intents.next().await.unwrap().map_or(0, |rows| rows.len()), taken);
}

#[tokio::test]
async fn no_more_rows_are_on_their_way_than_there_is_room_for() {
    let run = begin(&["news"]).await;
    let listed = [Listed { number: run.snapshot.segments()[0], position: 0 }];
    let block: Block = (0..6).map(|row| bundle(&[row], |_| false)).collect();
    let room =
        Room::new(u32::try_from(block[..2].iter().map(|bundle| bundle.rows.stream().len()).sum::<usize>()).unwrap());
    let packer = packer(&run, &listed, narrow(1), &room);
    let (parcels, mut to_deliver) = mpsc::channel::<Dispatched>(100);
    let mut blocks = [block].into_iter();
    let take = async {
        let mut under_way = VecDeque::new();
        let mut most = 0;
        while let Some(next) = to_deliver.recv().await {
            under_way.push_back(next);
            while let Ok(next) = to_deliver.try_recv() {
                under_way.push_back(next);
            }
            most = most.max(under_way.len());
            under_way.pop_front();
        }
        most
    };
    let pack = async {
        let parcels = parcels;
        packer.pack_rows(|| blocks.next().map(Ok), &parcels).await.unwrap()
    };
    let (rest, most) = tokio::join!(pack, take);
    assert_eq!((rest.len(), most), (0, 2), "the first row is wide, and has its turn beside one other");
}

/// Rows that were read in the segments that the bits of `kinds` name, one after the other, in blocks of so many bundles.
#[derive(Debug, Clone)]
struct Mixed {
    kinds: Vec<u8>,
    bundles_per_block: usize,
    batch: BatchSize,
    most_loose: usize,
}

/// Every seventh row is wide.
fn value(row: u32) -> String {
    format!("{row}{}", if row.is_multiple_of(7) { "x".repeat(300) } else { String::new() })
}

/// Each row is in one parcel, with rows of its kind alone and no more of them than one call takes, and there are as many parcels
/// as the plan said, or more where fewer rows may be loose or rows are wide.
async fn check(mixed: &Mixed) {
    let &Mixed { bundles_per_block, batch, most_loose, .. } = mixed;
    let mut run = begin(&["a", "b", "c"]).await;
    let segments = run.snapshot.segments().to_vec();
    for (position, &segment) in segments.iter().enumerate() {
        for (row, kind) in (0..).zip(&mixed.kinds).filter(|(_, kind)| *kind >> position & 1 == 1) {
            let (key, fingerprint) = (KeyHash::from_bits(row.into()), Fingerprint::from_bits(u128::from(*kind)));
            run.snapshot.index.observe(identity(row), key, fingerprint, segment).unwrap();
        }
    }
    let listed: Vec<Listed> = (0..).zip(segments).map(|(position, number)| Listed { number, position }).collect();
    let index = &run.snapshot.index;
    let room = Room::new(MOST_ON_THEIR_WAY);
    let packer = Packer { most_loose, ..packer(&run, &listed, batch, &room) };
    let rows: Vec<u32> = (0..).take(mixed.kinds.len()).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::new(bundle(&[], |_| false).rows.decode().unwrap().schema(), batch, dir.path()).unwrap();
    for page in rows.chunks(50) {
        let Bundle { rows, tickets } = bundle(page, |_| false);
        outbox.push(&rows.decode().unwrap(), tickets).unwrap();
    }
    let mut sealed = outbox.seal().unwrap();
    let mut bundles = std::iter::from_fn(|| sealed.next_block().unwrap()).flatten().peekable();
    let (mut loose, mut parcels) = (Loose::default(), Vec::new());
    while bundles.peek().is_some() {
        let block = bundles.by_ref().take(bundles_per_block).collect();
        parcels.extend(packer.cut(block, &mut loose).await.unwrap());
        assert!(loose.0.values().map(Waiting::length).sum::<usize>() <= most_loose);
    }
    drop(bundles);
    parcels.extend(packer.tie_all(loose).unwrap());

    let mut packed = Vec::new();
    for parcel in &parcels {
        let Parcel::Upsert { rows: encoded, tickets, join, .. } = parcel else { panic!("{parcel:?}") };
        assert!((1..=batch.rows).contains(&tickets.len()));
        let kind: u8 = join.iter().map(|position| 1 << position).sum();
        let decoded = encoded.decode().unwrap();
        assert!(tickets.len() == 1 || segport_core::rows::bytes(&decoded) <= batch.bytes);
        for (name, ticket) in decoded.column(0).as_string::<i32>().iter().flatten().zip(&tickets[..]) {
            let row: u32 = name.trim_end_matches('x').parse().unwrap();
            assert_eq!((ticket.identity, kind), (identity(row), mixed.kinds[row as usize]));
            packed.push(row);
        }
    }
    packed.sort_unstable();
    assert_eq!(packed, rows);
    let planned = workload(index, batch.rows as u64);
    let joins: u32 = mixed.kinds.iter().map(|kind| kind.count_ones()).sum();
    assert_eq!((planned.rows, planned.joins), (rows.len() as u64, joins.into()));
    let [least, most] = sealed.batches(planned.batches);
    let made = parcels.len() as u64;
    assert!(least <= made && (made <= most || most_loose < MOST_LOOSE), "{made} of {least} to {most}");
    if batch.bytes == usize::MAX {
        assert_eq!([least, most], [planned.batches; 2]);
    }
}

proptest! {
    #[test]
    fn a_plan_counts_the_parcels_that_come_of_it(
        kinds in proptest::collection::vec(1_u8..8, 0..200),
        bundles_per_block in 1_usize..5,
        rows_per_batch in 1_usize..20,
        bytes in prop_oneof![Just(usize::MAX), 1_usize..100, 100_usize..3000],
        most_loose in prop_oneof![Just(MOST_LOOSE), Just(4000), Just(0)],
    ) {
        let batch = BatchSize { rows: rows_per_batch, bytes };
        let mixed = Mixed { kinds, bundles_per_block, batch, most_loose };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(check(&mixed));
    }
}

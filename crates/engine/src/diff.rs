//! Comparing what was read with what the destination has acknowledged: which rows must be sent.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow_array::{RecordBatch, UInt32Array};
use segport_core::{Error, ErrorKind, UnreadableRow};
use segport_ledger::{
    Identity, Index, KeyHash, Memberships, Observation, Present, PresentKeys, Record, Row, SegmentNumber, Undelivered,
};

use crate::engine::StartError;
use crate::map::Mapping;
use crate::name::{Candidate, Name};
use crate::outbox::{Outbox, Ticket};
use crate::plan_report::{PlannedRows, Skipped};

/// Which rows a run considers.
#[derive(Debug)]
pub(crate) enum Scope {
    /// Those whose payload or memberships are not acknowledged.
    Changes,
    /// All.
    Full,
    /// Of those that are not acknowledged, just these.
    Only(HashSet<Identity>),
}

/// What a comparison goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) suppressed: &'a HashSet<Identity>,
    pub(crate) scope: &'a Scope,
    /// Most rows to send.
    pub(crate) cap: u64,
    pub(crate) has_several_segments: bool,
}

/// The state of one comparison; pages go in, in the order of the export's segments.
#[derive(Debug)]
pub(crate) struct Diff<'a> {
    rules: Rules<'a>,
    index: &'a mut Index,
    outbox: Outbox,
    tally: Tally,
    /// Keys of rows that are there but not sent.
    present: Present,
    /// Rows judged unchanged whose memberships grew in a later segment; their values are fetched by a second reading.
    grown: HashSet<Identity>,
    /// In an export of several segments: keys of rows counted as skipped, with the segment that counted them.
    skipped_in: HashMap<KeyHash, SegmentNumber>,
    /// Whether the ledger has a row in doubt at all, so that most runs need not ask for each.
    has_doubts: bool,
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows: PlannedRows,
    /// Rows of each segment, in the order of the export.
    by_segment: Vec<u64>,
    /// Memberships that the rows to be sent must gain.
    pub(crate) joins: u64,
    /// Memberships that were acknowledged and are to be sent again.
    pub(crate) rejoins: u64,
    /// Of the rows to be sent, those that an earlier run may have sent.
    pub(crate) in_doubt: u64,
    pub(crate) skipped: BTreeMap<(&'static str, String), Skipped>,
    /// Keys of rows that are there but not sent.
    pub(crate) present: PresentKeys,
    /// Rows whose identity and key nobody knows.
    pub(crate) unreadable: u64,
    /// The first of them, for the report.
    pub(crate) first_unreadable: Option<UnreadableRow>,
    /// Keyed fingerprint of all that was read.
    pub(crate) digest: u128,
}

impl Tally {
    /// Rows of the segment at this position of the export.
    pub(crate) fn rows_of(&self, position: usize) -> u64 {
        self.by_segment.get(position).copied().unwrap_or(0)
    }

    fn count(&mut self, link: Option<Link>) {
        match link {
            Some(Link::Join) => self.joins += 1,
            Some(Link::Rejoin) => self.rejoins += 1,
            None => {}
        }
    }
}

/// A segment while its pages are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Position in the export.
    pub(crate) position: usize,
    /// Number in the ledger.
    pub(crate) number: SegmentNumber,
}

impl<'a> Diff<'a> {
    pub(crate) fn new(rules: Rules<'a>, index: &'a mut Index, outbox: Outbox) -> Self {
        let has_doubts = index.has_doubts();
        let (present, grown, skipped_in) = (Present::default(), HashSet::new(), HashMap::new());
        Self { rules, index, outbox, tally: Tally::default(), present, grown, skipped_in, has_doubts }
    }

    /// Whether a second reading is needed, and of how many rows.
    pub(crate) fn rows_to_fetch(&self) -> usize {
        self.grown.len()
    }

    /// Compares the rows of one page; the records are those that will not be sent.
    pub(crate) fn page(
        &mut self,
        place: Place,
        mapping: &Mapping,
        rows: &RecordBatch,
        candidates: &[Candidate],
    ) -> Result<Vec<Record>, StartError> {
        let mut records = Vec::new();
        let mut picked = Picked::default();
        *slot(&mut self.tally.by_segment, place.position) += candidates.len() as u64;
        let mut ahead = Vec::with_capacity(Index::AHEAD);
        for (row, candidate) in (0..).zip(candidates) {
            if (row as usize).is_multiple_of(Index::AHEAD) {
                ahead.clear();
                ahead.extend(candidates.iter().skip(row as usize).take(Index::AHEAD).filter_map(Candidate::identity));
                self.index.warm(&ahead);
            }
            match *candidate {
                Candidate::Flawed { flaw, identity, key } => {
                    if let Some(identity) = identity {
                        self.index.keep(identity, place.number)?;
                    }
                    self.absorb(u128::from(key.bits()) ^ flaw.field as u128);
                    self.present.add(place.number, key);
                    if self.considers(identity) && self.counts_here(place, key) {
                        let (code, reason) = (flaw.kind.code(), mapping.explain(flaw));
                        let skip = Skip { outcome: Undelivered::Invalid, code, reason };
                        records.push(self.skip(place, identity, skip));
                    }
                }
                Candidate::Sound(name) => {
                    let fingerprint = name.fingerprint.bits().rotate_left(1);
                    self.absorb(name.identity.bits() ^ fingerprint ^ u128::from(place.number.get()));
                    match self.judge(place, name)? {
                        Judgement::Send { added } => {
                            let in_doubt = self.is_in_doubt(name.identity)?;
                            self.tally.in_doubt += u64::from(in_doubt);
                            picked.add(row, Ticket { added, in_doubt, ..ticket(name) });
                        }
                        Judgement::Skip(skip) => {
                            self.present.add(place.number, name.key);
                            if skip.outcome != Undelivered::Suppressed || self.counts_here(place, name.key) {
                                records.push(self.skip(place, Some(name.identity), skip));
                            }
                        }
                        Judgement::Nothing => {}
                    }
                }
            }
        }
        self.put_in_outbox(rows, picked)?;
        Ok(records)
    }

    /// Takes from a page of the second reading the rows whose memberships grew.
    pub(crate) fn fetch(&mut self, rows: &RecordBatch, candidates: &[Candidate]) -> Result<(), StartError> {
        let mut picked = Picked::default();
        for (row, candidate) in (0..).zip(candidates) {
            if let Candidate::Sound(name) = *candidate
                && self.grown.remove(&name.identity)
            {
                picked.add(row, ticket(name));
            }
        }
        self.put_in_outbox(rows, picked)
    }

    /// Ends the comparison. Rows that a second reading did not find again are left to the next run.
    pub(crate) fn finish(mut self) -> (Outbox, Tally, Vec<Record>) {
        let mut lost: Vec<Identity> = self.grown.drain().collect();
        // A run is told the same way every time.
        lost.sort_unstable();
        let records = lost
            .into_iter()
            .map(|identity| {
                self.tally.rows.change -= 1;
                self.tally.rows.read -= 1;
                let skip = Skip {
                    outcome: Undelivered::Deferred,
                    code: "source_moved",
                    reason: "the source changed while it was read; the next run takes the row".to_owned(),
                };
                self.record(Memberships::NONE, Some(identity), skip)
            })
            .collect();
        let tally = Tally { present: self.present.into(), ..self.tally };
        (self.outbox, tally, records)
    }

    /// Notes rows that the source could not read; nobody knows who they are.
    pub(crate) fn unreadable(&mut self, place: Place, rows: &[UnreadableRow]) -> Vec<Record> {
        self.tally.unreadable += rows.len() as u64;
        *slot(&mut self.tally.by_segment, place.position) += rows.len() as u64;
        if matches!(self.rules.scope, Scope::Only(_)) {
            return Vec::new();
        }
        rows.iter()
            .map(|row| {
                self.tally.first_unreadable.get_or_insert_with(|| row.clone());
                self.absorb(u128::from(row.row));
                let at = match row.line {
                    Some(line) => format!("{}, line {line}: {}", row.place, row.reason),
                    None => format!("{}, row {}: {}", row.place, row.row, row.reason),
                };
                self.skip(place, None, Skip { outcome: Undelivered::Invalid, code: "unreadable", reason: at })
            })
            .collect()
    }

    /// Whether a skipped row is counted in this segment: a profile that is in several counts in the first.
    fn counts_here(&mut self, place: Place, key: KeyHash) -> bool {
        !self.rules.has_several_segments || *self.skipped_in.entry(key).or_insert(place.number) == place.number
    }

    fn considers(&self, identity: Option<Identity>) -> bool {
        match self.rules.scope {
            Scope::Only(set) => identity.is_some_and(|identity| set.contains(&identity)),
            Scope::Changes | Scope::Full => true,
        }
    }

    fn judge(&mut self, place: Place, name: Name) -> Result<Judgement, StartError> {
        let is_considered = self.considers(Some(name.identity));
        if self.rules.suppressed.contains(&name.identity) {
            self.index.keep(name.identity, place.number)?;
            let skip = Skip {
                outcome: Undelivered::Suppressed,
                code: "suppressed",
                reason: "on the suppression list".to_owned(),
            };
            return Ok(Judgement::skip_if(is_considered, skip));
        }
        let gain = match self.index.observe(name.identity, name.key, name.fingerprint, place.number)? {
            Observation::New => Gain { added: true, link: Some(Link::Join) },
            Observation::MembershipGrew => Gain { added: false, link: Some(Link::Join) },
            Observation::Changed => Gain { added: false, link: self.link(place, name)? },
            Observation::Unchanged if matches!(self.rules.scope, Scope::Full) => {
                Gain { added: false, link: self.link(place, name)? }
            }
            Observation::Unchanged => {
                self.tally.rows.read += u64::from(is_considered);
                self.tally.rows.unchanged += u64::from(is_considered);
                return Ok(Judgement::Nothing);
            }
            Observation::SeenInEarlierSegment { membership_grew } => {
                if is_considered {
                    self.tally.count(self.link(place, name)?);
                }
                if membership_grew && is_considered && !matches!(self.rules.scope, Scope::Full) {
                    return Ok(self.grow(name.identity));
                }
                return Ok(Judgement::Nothing);
            }
            Observation::Duplicate => {
                // Its own key may be the ledger's now, but once the earlier row is delivered that one's is.
                self.index.keep(name.identity, place.number)?;
                let skip = Skip {
                    outcome: Undelivered::Duplicate,
                    code: "duplicate",
                    reason: "an earlier row has the same identity at the destination".to_owned(),
                };
                return Ok(Judgement::skip_if(is_considered, skip));
            }
        };
        Ok(if is_considered { self.send(gain) } else { Judgement::Nothing })
    }

    /// Whether an earlier run may have sent the row. A run that sends every row again need not know.
    fn is_in_doubt(&self, identity: Identity) -> Result<bool, StartError> {
        if !self.has_doubts || matches!(self.rules.scope, Scope::Full) {
            return Ok(false);
        }
        Ok(self.index.held(identity)?.is_some_and(|held| held.uncertain))
    }

    /// What sending the row means for its membership of this segment.
    fn link(&self, place: Place, name: Name) -> Result<Option<Link>, StartError> {
        if self.index.read_in(name.identity)?.to_add.contains(place.number) {
            return Ok(Some(Link::Join));
        }
        Ok(matches!(self.rules.scope, Scope::Full).then_some(Link::Rejoin))
    }

    fn send(&mut self, gain: Gain) -> Judgement {
        if self.tally.rows.add + self.tally.rows.change >= self.rules.cap {
            return Judgement::Skip(self.over_the_cap());
        }
        self.tally.rows.read += 1;
        self.tally.count(gain.link);
        if gain.added {
            self.tally.rows.add += 1;
        } else {
            self.tally.rows.change += 1;
        }
        Judgement::Send { added: gain.added }
    }

    /// A row counted as unchanged turns out to need a further membership.
    fn grow(&mut self, identity: Identity) -> Judgement {
        if self.tally.rows.add + self.tally.rows.change >= self.rules.cap {
            self.tally.rows.unchanged -= 1;
            self.tally.rows.read -= 1;
            return Judgement::Skip(self.over_the_cap());
        }
        if self.grown.insert(identity) {
            self.tally.rows.unchanged -= 1;
            self.tally.rows.change += 1;
        }
        Judgement::Nothing
    }

    fn over_the_cap(&self) -> Skip {
        Skip {
            outcome: Undelivered::Deferred,
            code: "over_cap",
            reason: format!("over the {} rows that one run sends; the next run takes it", self.rules.cap),
        }
    }

    fn skip(&mut self, place: Place, identity: Option<Identity>, skip: Skip) -> Record {
        self.record(Memberships::from(place.number), identity, skip)
    }

    fn record(&mut self, memberships: Memberships, identity: Option<Identity>, skip: Skip) -> Record {
        let rows = &mut self.tally.rows;
        rows.read += 1;
        let (count, outcome) = match skip.outcome {
            Undelivered::Duplicate => (&mut rows.duplicate, "duplicate"),
            Undelivered::Suppressed => (&mut rows.suppressed, "suppressed"),
            Undelivered::Deferred => (&mut rows.deferred, "deferred"),
            _ => (&mut rows.invalid, "invalid"),
        };
        *count += 1;
        // Every unreadable row has a reason of its own; in the plan they are one line with the first as example.
        let group = if skip.code == "unreadable" { String::new() } else { skip.reason.clone() };
        let skipped = self.tally.skipped.entry((skip.code, group)).or_insert_with(|| Skipped {
            outcome: outcome.to_owned(),
            code: skip.code.to_owned(),
            reason: skip.reason.clone(),
            rows: 0,
        });
        skipped.rows += 1;
        Record::Row(Row {
            outcome: skip.outcome,
            identity,
            memberships,
            code: skip.code.into(),
            reason: skip.reason.into(),
        })
    }

    fn put_in_outbox(&mut self, rows: &RecordBatch, picked: Picked) -> Result<(), StartError> {
        if picked.rows.is_empty() {
            return Ok(());
        }
        if picked.rows.len() == rows.num_rows() {
            return self.outbox.push(rows, picked.tickets).map_err(StartError::Outbox);
        }
        let rows = arrow_select::take::take_record_batch(rows, &UInt32Array::from(picked.rows))
            .map_err(|error| Error::new(ErrorKind::Internal, "rows could not be picked from a page").because(&error))?;
        self.outbox.push(&rows, picked.tickets).map_err(StartError::Outbox)
    }

    fn absorb(&mut self, bits: u128) {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.tally.digest = (self.tally.digest.rotate_left(29) ^ bits).wrapping_mul(ODD);
    }
}

/// The rows of a page that are to be sent.
#[derive(Debug, Default)]
struct Picked {
    /// Their numbers in the page.
    rows: Vec<u32>,
    tickets: Vec<Ticket>,
}

impl Picked {
    fn add(&mut self, row: u32, ticket: Ticket) {
        self.rows.push(row);
        self.tickets.push(ticket);
    }
}

/// The ticket of a row that the destination has acknowledged before.
fn ticket(Name { identity, key, fingerprint, .. }: Name) -> Ticket {
    Ticket { identity, key, fingerprint, added: false, in_doubt: false }
}

/// What sending a row would bring the destination.
#[derive(Debug, Clone, Copy)]
struct Gain {
    /// A row that it has never acknowledged.
    added: bool,
    /// A membership of the segment that is being read.
    link: Option<Link>,
}

/// A membership that is sent with a row.
#[derive(Debug, Clone, Copy)]
enum Link {
    /// The row is not known to be a member yet.
    Join,
    /// It was acknowledged as one.
    Rejoin,
}

enum Judgement {
    Send { added: bool },
    Skip(Skip),
    Nothing,
}

impl Judgement {
    fn skip_if(is_considered: bool, skip: Skip) -> Self {
        if is_considered { Self::Skip(skip) } else { Self::Nothing }
    }
}

struct Skip {
    outcome: Undelivered,
    code: &'static str,
    reason: String,
}

fn slot(counts: &mut Vec<u64>, position: usize) -> &mut u64 {
    if counts.len() <= position {
        counts.resize(position + 1, 0);
    }
    // The line above made it at least one longer than `position`.
    #[expect(clippy::indexing_slicing, reason = "resized just above")]
    &mut counts[position]
}

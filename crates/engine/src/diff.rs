//! Comparing what was read with what the destination has acknowledged: which rows must be sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use segport_core::{Error, ErrorKind, UnreadableRow};
use segport_ledger::{Identity, Index, KeyHash, Observation, Present, Rekeyed, SegmentNumber, Untried, Whose};

use crate::map::Mapping;
use crate::name::{Candidate, Name};
use crate::outbox::{Outbox, Ticket};
use crate::scope::Scope;
use crate::start_error::StartError;
use crate::tally::{Skip, Tally, Why};

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
    /// In an export of several segments: keys of rows counted as skipped, with the segment that counted them.
    skipped_in: HashMap<KeyHash, SegmentNumber>,
    /// Whether the ledger has a row in doubt at all, so that most runs need not ask for each.
    has_doubts: bool,
    reasons: Reasons,
}

/// Why rows are skipped, in words that many of them share.
#[derive(Debug)]
struct Reasons {
    suppressed: Arc<str>,
    duplicate: Arc<str>,
    of_other_key: Arc<str>,
    over_cap: Arc<str>,
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
        let (present, skipped_in) = (Present::default(), HashMap::new());
        let reasons = Reasons {
            suppressed: "on the suppression list".into(),
            duplicate: "an earlier row has the same identity at the destination".into(),
            of_other_key: "a row of an earlier segment has the same identity at the destination, under another key"
                .into(),
            over_cap: format!("over the {} rows that one run sends; the next run takes it", rules.cap).into(),
        };
        Self { rules, index, outbox, tally: Tally::default(), present, skipped_in, has_doubts, reasons }
    }

    /// How many rows were judged unchanged until their memberships grew in a later segment; a second reading finds their values.
    pub(crate) fn wanted(&self) -> u64 {
        self.tally.wanted
    }

    /// Compares the rows of one page; gives what is to be written down of those that will not be sent.
    pub(crate) fn page(
        &mut self,
        place: Place,
        mapping: &Mapping,
        rows: &RecordBatch,
        candidates: &[Candidate],
    ) -> Result<Noted, StartError> {
        let (mut untried, mut rekeyed) = (Vec::new(), Vec::new());
        let mut picked = Picked::default();
        self.tally.add_rows(place.position, candidates.len() as u64);
        let mut ahead = Vec::with_capacity(Index::AHEAD);
        for (row, candidate) in (0..).zip(candidates) {
            self.warm(row, candidates, &mut ahead);
            match *candidate {
                Candidate::Flawed { flaw, identity, key } => {
                    self.tally.unusable += 1;
                    if let Some(identity) = identity {
                        self.index.keep(identity, place.number)?;
                    }
                    self.tally.nameless += u64::from(key.is_none() && !self.is_known(identity)?);
                    self.tally.absorb(flaw.field as u128 ^ bits_of(identity, key));
                    if let Some(key) = key {
                        self.present.add(place.number, key);
                    }
                    // Of rows without a key nobody can tell whether they are the same profile.
                    if self.considers(identity)? && key.is_none_or(|key| self.counts_here(place, key)) {
                        let skip = Skip { why: Why::Flawed(flaw.kind), reason: mapping.explain(flaw).into() };
                        untried.push(self.tally.skip(place.number, candidate.whose(), skip));
                    }
                }
                Candidate::Sound(name) => {
                    let fingerprint = name.fingerprint.bits().rotate_left(1);
                    let named = bits_of(Some(name.identity), Some(name.key));
                    self.tally.absorb(named ^ fingerprint ^ u128::from(place.number.get()));
                    match self.judge(place, name)? {
                        Judgement::Send { added } => {
                            let in_doubt = self.is_in_doubt(name.identity)?;
                            picked.add(row, Ticket { added, in_doubt, ..ticket(name) });
                        }
                        Judgement::Skip(skip) => {
                            self.present.add(place.number, name.key);
                            untried.extend(self.skip(place, name, skip));
                        }
                        Judgement::Repeats(skip) => untried.extend(self.skip(place, name, skip)),
                        Judgement::Stays => self.present.add(place.number, name.key),
                        Judgement::Rekey => {
                            rekeyed.push(self.index.rekeyed(name.identity, name.key, name.fingerprint)?);
                        }
                        Judgement::Nothing => {}
                    }
                }
            }
        }
        self.put_in_outbox(rows, picked)?;
        Ok(Noted { untried, rekeyed })
    }

    /// Takes from a page of the second reading the rows whose memberships grew.
    pub(crate) fn fetch(&mut self, rows: &RecordBatch, candidates: &[Candidate]) -> Result<(), StartError> {
        let mut picked = Picked::default();
        let mut ahead = Vec::with_capacity(Index::AHEAD);
        for (row, candidate) in (0..).zip(candidates) {
            self.warm(row, candidates, &mut ahead);
            if let Candidate::Sound(name) = *candidate
                && self.index.take_wanted(name.identity)?
            {
                self.tally.wanted -= 1;
                picked.add(row, ticket(name));
            }
        }
        self.put_in_outbox(rows, picked)
    }

    /// Announces this row and those after it, if those before were not announced together with it.
    fn warm(&self, row: u32, candidates: &[Candidate], ahead: &mut Vec<Identity>) {
        if (row as usize).is_multiple_of(Index::AHEAD) {
            ahead.clear();
            ahead.extend(candidates.iter().skip(row as usize).take(Index::AHEAD).filter_map(Candidate::identity));
            self.index.warm(ahead);
        }
    }

    /// Ends the comparison. Rows that are still wanted were not found again.
    pub(crate) fn finish(mut self) -> (Outbox, Tally) {
        self.tally.present = self.present.into();
        (self.outbox, self.tally)
    }

    /// Notes rows that the source could not read; nobody knows who they are.
    pub(crate) fn unreadable(&mut self, place: Place, rows: &[UnreadableRow]) -> Vec<Untried> {
        self.tally.unreadable += rows.len() as u64;
        self.tally.unusable += rows.len() as u64;
        self.tally.add_rows(place.position, rows.len() as u64);
        if matches!(self.rules.scope, Scope::Only(_)) {
            return Vec::new();
        }
        rows.iter()
            .map(|row| {
                self.tally.first_unreadable.get_or_insert_with(|| row.clone());
                self.tally.absorb(u128::from(row.row));
                let at = match row.line {
                    Some(line) => format!("{}, line {line}: {}", row.place, row.reason),
                    None => format!("{}, row {}: {}", row.place, row.row, row.reason),
                };
                self.tally.skip(place.number, Whose::Nobody, Skip { why: Why::Unreadable, reason: at.into() })
            })
            .collect()
    }

    /// Whether somebody with this identity was ever sent.
    fn is_known(&self, identity: Option<Identity>) -> Result<bool, StartError> {
        Ok(match identity {
            Some(identity) => self.index.held(identity)?.is_some(),
            None => false,
        })
    }

    /// Whether a skipped row is counted in this segment: a profile that is in several counts in the first.
    fn counts_here(&mut self, place: Place, key: KeyHash) -> bool {
        !self.rules.has_several_segments || *self.skipped_in.entry(key).or_insert(place.number) == place.number
    }

    fn skip(&mut self, place: Place, name: Name, skip: Skip) -> Option<Untried> {
        // What is over the cap is seen as such in its first segment only.
        let counts = skip.why == Why::OverCap || self.counts_here(place, name.key);
        counts.then(|| self.tally.skip(place.number, name.identity.into(), skip))
    }

    fn considers(&self, identity: Option<Identity>) -> Result<bool, StartError> {
        match (self.rules.scope, identity) {
            (Scope::Changes | Scope::Full, _) => Ok(true),
            (Scope::Only(_), Some(identity)) => Ok(self.index.is_asked(identity)?),
            (Scope::Only(_), None) => Ok(false),
        }
    }

    fn judge(&mut self, place: Place, name: Name) -> Result<Judgement, StartError> {
        let is_considered = self.considers(Some(name.identity))?;
        if self.rules.suppressed.contains(&name.identity) {
            self.index.keep(name.identity, place.number)?;
            self.tally.suppressed_digest = self.tally.suppressed_digest.wrapping_add(name.identity.bits());
            let skip = Skip { why: Why::Suppressed, reason: Arc::clone(&self.reasons.suppressed) };
            return Ok(Judgement::skip_if(is_considered, skip));
        }
        let added = match self.index.observe(name.identity, name.key, name.fingerprint, place.number)? {
            Observation::New => true,
            Observation::MembershipGrew | Observation::Changed => false,
            unchanged @ (Observation::Unchanged | Observation::UnchangedUnderOtherKey) => {
                self.tally.rows.read += u64::from(is_considered);
                self.tally.rows.unchanged += u64::from(is_considered);
                return Ok(match unchanged {
                    Observation::Unchanged => Judgement::Nothing,
                    _ => Judgement::Rekey,
                });
            }
            Observation::SeenInEarlierSegment { membership_grew: true } if is_considered => {
                return self.grow(name.identity);
            }
            Observation::SeenInEarlierSegment { membership_grew } => {
                if membership_grew {
                    self.index.leave_out(name.identity)?;
                }
                return Ok(Judgement::Nothing);
            }
            Observation::LeftOut => return Ok(Judgement::Stays),
            duplicate @ (Observation::Duplicate | Observation::DuplicateOfOtherKey) => {
                let reason = match duplicate {
                    Observation::Duplicate => &self.reasons.duplicate,
                    _ => {
                        self.tally.of_other_keys += u64::from(is_considered);
                        &self.reasons.of_other_key
                    }
                };
                let skip = Skip { why: Why::Duplicate, reason: Arc::clone(reason) };
                // Its own key may be the ledger's now, but once the earlier row is delivered that one's is.
                self.index.keep(name.identity, place.number)?;
                return Ok(match self.index.has_changed_hands(name.identity, name.key)? {
                    true => Judgement::skip_if(is_considered, skip),
                    false if is_considered => Judgement::Repeats(skip),
                    false => Judgement::Nothing,
                });
            }
        };
        if is_considered {
            return self.send(name.identity, added);
        }
        self.index.leave_out(name.identity)?;
        Ok(Judgement::Stays)
    }

    /// Whether an earlier run may have sent the row.
    fn is_in_doubt(&self, identity: Identity) -> Result<bool, StartError> {
        if !self.has_doubts {
            return Ok(false);
        }
        Ok(self.index.held(identity)?.is_some_and(|held| held.uncertain))
    }

    fn send(&mut self, identity: Identity, added: bool) -> Result<Judgement, StartError> {
        if self.is_at_the_cap() {
            return self.over_the_cap(identity);
        }
        self.tally.rows.read += 1;
        let count = if added { &mut self.tally.rows.add } else { &mut self.tally.rows.change };
        *count += 1;
        Ok(Judgement::Send { added })
    }

    /// A row counted as unchanged turns out to need a further membership.
    fn grow(&mut self, identity: Identity) -> Result<Judgement, StartError> {
        self.tally.rows.unchanged -= 1;
        if self.is_at_the_cap() {
            self.tally.rows.read -= 1;
            return self.over_the_cap(identity);
        }
        self.index.want(identity)?;
        self.tally.wanted += 1;
        self.tally.rows.change += 1;
        Ok(Judgement::Nothing)
    }

    fn is_at_the_cap(&self) -> bool {
        self.tally.rows.add + self.tally.rows.change >= self.rules.cap
    }

    fn over_the_cap(&mut self, identity: Identity) -> Result<Judgement, StartError> {
        self.index.leave_out(identity)?;
        Ok(Judgement::Skip(Skip { why: Why::OverCap, reason: Arc::clone(&self.reasons.over_cap) }))
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
}

/// Who a row is, for the digest of the source: of a row that is not sent, too, since both decide who is a leaver.
fn bits_of(identity: Option<Identity>, key: Option<KeyHash>) -> u128 {
    identity.map_or(0, Identity::bits) ^ u128::from(key.map_or(0, KeyHash::bits)).rotate_left(32)
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

enum Judgement {
    Send {
        added: bool,
    },
    Skip(Skip),
    /// The row says once more of a profile what an earlier one has said. Whether the profile has left an address that it had before
    /// is seen by that one.
    Repeats(Skip),
    /// The run does not send the row. It has not left its segment for that, whatever address it had before.
    Stays,
    /// The ledger knows the row by another key.
    Rekey,
    Nothing,
}

/// What is to be written down of a page's rows before anything is sent.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) untried: Vec<Untried>,
    pub(crate) rekeyed: Vec<Rekeyed>,
}

impl Judgement {
    fn skip_if(is_considered: bool, skip: Skip) -> Self {
        if is_considered { Self::Skip(skip) } else { Self::Stays }
    }
}

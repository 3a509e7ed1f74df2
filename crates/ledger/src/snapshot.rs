//! What the ledger holds of one export at one moment.

use crate::access::{AcceptedLine, AccountLine, ExportLine, ListLine, SegmentLine};
use crate::database::Database;
use crate::load::load;
use crate::walk::Walk;
use crate::{Error, Identity, Index, Leavers, Memberships, PresentKeys, Result, SegmentNumber};

/// How far [`Snapshot::take_wanted`] has come.
#[derive(Debug, Default)]
pub struct WantedRows(Walk);

/// What the ledger holds of one export: all that `segport plan` needs, and what a run starts from.
#[derive(Debug)]
pub struct Snapshot {
    /// Who is held, and what was observed.
    pub index: Index,
    pub(crate) database: Database,
    pub(crate) export: String,
    pub(crate) line: ExportLine,
    /// Records in the pages that were read; the more they exceed the rows, the more there is to fold.
    pub(crate) records: u64,
    order: Vec<SegmentNumber>,
    names: Vec<(SegmentNumber, String)>,
    new: Vec<SegmentLine>,
    accepted: Vec<AcceptedLine>,
    lists: Vec<ListLine>,
    accounts: Vec<AccountLine>,
}

impl Snapshot {
    /// Reads the pages of an export and gives its segments their numbers.
    pub(crate) async fn load(database: Database, export: &str, segments: &[String]) -> Result<Self> {
        let mut view = database.keeper.view().await?;
        let line =
            view.export(export).await?.unwrap_or(ExportLine { first_page: 1, next_page: 1, ..ExportLine::default() });
        let index = Index::new(database.index_memory, database.path());
        let (index, records) = load(&database, &mut *view, export, &line, index).await?;
        let known = view.segments(export).await?;
        let accepted = view.accepted(export).await?;
        let lists = view.lists(export).await?;
        let accounts = view.accounts(export).await?;
        drop(view);

        let mut snapshot = Self {
            index,
            database,
            export: export.to_owned(),
            line,
            records,
            order: Vec::new(),
            names: Vec::new(),
            new: Vec::new(),
            accepted,
            lists,
            accounts,
        };
        for segment in &known {
            let number = snapshot.number(segment)?;
            snapshot.name(number, &segment.id);
        }
        for id in segments {
            let number = snapshot.number_of(id, segments)?;
            snapshot.order.push(number);
        }
        Ok(snapshot)
    }

    /// The numbers of the export's segments, in the order of its manifest. Those of segments that were never run are fixed only
    /// when a run begins.
    pub fn segments(&self) -> &[SegmentNumber] {
        &self.order
    }

    /// How many members the segments of the manifest have together, as far as runs have put them there.
    pub fn members(&self) -> u64 {
        self.index.members_of(self.current())
    }

    /// The segments of the manifest.
    pub(crate) fn current(&self) -> Memberships {
        self.order.iter().copied().collect()
    }

    /// The id of a segment, of the export or dropped from it.
    pub fn segment_id(&self, segment: SegmentNumber) -> Option<&str> {
        self.names.iter().find(|(number, _)| *number == segment).map(|(_, id)| id.as_str())
    }

    /// How many rows a segment had in the last run that took them as normal ([`crate::RunLedger::accept`]); `None` if the
    /// segment was not in it.
    pub fn accepted_rows(&self, segment: SegmentNumber) -> Option<u64> {
        let id = self.segment_id(segment)?;
        self.accepted.iter().find(|line| line.segment == id).map(|line| line.rows.unsigned_abs())
    }

    /// The destination's id of the list that a segment has, as far as a run has written it down ([`crate::Journal::reach`]).
    pub fn list(&self, segment: SegmentNumber) -> Option<&str> {
        let id = self.segment_id(segment)?;
        self.lists.iter().find(|line| line.segment == id).map(|line| line.id.as_str())
    }

    /// The account at `place` that the export's rows were acknowledged at, as far as a run has written it down
    /// ([`crate::Journal::reach`]).
    pub fn account(&self, place: &str) -> Option<&str> {
        self.accounts.iter().find(|line| line.place == place).map(|line| line.id.as_str())
    }

    /// The segments that are no longer in the manifest but still have members, in ascending order; their members are leavers.
    pub fn dropped(&self) -> impl Iterator<Item = (SegmentNumber, &str)> {
        self.index
            .populated()
            .without(self.current())
            .iter()
            .filter_map(|number| Some((number, self.segment_id(number)?)))
    }

    /// The segments that have members, or may have some, because a row was sent and not acknowledged.
    pub fn populated(&self) -> Memberships {
        self.index.populated()
    }

    /// A number that changes with everything a run of this export writes down of what it sends, and when it is to send all rows
    /// again. What a run that sends nothing says of rows leaves it as it is: a plan still holds then.
    pub fn generation(&self) -> u64 {
        self.line.generation.unsigned_abs()
    }

    /// Reads who was acknowledged in a segment and not seen there in this run; to be called when everything is read. May be
    /// called again, and gives the same leavers in the same order.
    pub fn leavers<'a>(&'a self, present: &'a PresentKeys) -> Leavers<'a> {
        Leavers::new(self, present)
    }

    /// The rows that are held and still wanted ([`Index::want`]), those of one page after the other, in a stable order; `None`
    /// after the last. None of them is wanted any more.
    ///
    /// # Errors
    /// If a page is damaged or cannot be read.
    pub async fn take_wanted(&mut self, walk: &mut WantedRows) -> Result<Option<Vec<Identity>>> {
        let Some(page) = walk.0.page(self).await? else { return Ok(None) };
        let mut identities = Vec::new();
        for record in page.records() {
            identities.extend(record.map_err(|_| self.database.unreadable(&self.export, page.number))?.identity());
        }
        let mut wanted = Vec::new();
        for ahead in identities.chunks(Index::AHEAD) {
            self.index.warm(ahead);
            for &identity in ahead {
                if self.index.take_wanted(identity)? {
                    wanted.push(identity);
                }
            }
        }
        Ok(Some(wanted))
    }

    /// The segments whose numbers are yet to be written down.
    pub(crate) fn new_segments(&self) -> &[SegmentLine] {
        &self.new
    }

    fn number(&self, segment: &SegmentLine) -> Result<SegmentNumber> {
        u8::try_from(segment.number)
            .ok()
            .and_then(SegmentNumber::new)
            .ok_or_else(|| self.database.damaged(format!("segment `{}` has the number {}", segment.id, segment.number)))
    }

    fn name(&mut self, number: SegmentNumber, id: &str) {
        self.names.retain(|(named, _)| *named != number);
        self.names.push((number, id.to_owned()));
    }

    /// The number a segment has, or a new one: one that was never used, or one whose segment was dropped and has no members.
    fn number_of(&mut self, id: &str, segments: &[String]) -> Result<SegmentNumber> {
        if let Some((number, _)) = self.names.iter().find(|(_, name)| name == id) {
            return Ok(*number);
        }
        let all = || Memberships::from_bits(u64::MAX).iter();
        let unused = all().find(|number| self.segment_id(*number).is_none());
        let number = unused.or_else(|| {
            let populated = self.index.populated();
            all().find(|number| {
                !populated.contains(*number)
                    && !self.segment_id(*number).is_some_and(|name| segments.iter().any(|id| id == name))
            })
        });
        let number = number
            .ok_or_else(|| Error::TooManySegments { export: self.export.clone(), limit: SegmentNumber::COUNT })?;
        self.name(number, id);
        self.new.push(SegmentLine {
            number: i64::from(number.get()),
            from_page: self.line.next_page,
            id: id.to_owned(),
        });
        Ok(number)
    }
}

//! Where blocks wait: some in memory, the others in encrypted files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use segport_core::{Error, ErrorKind, Result};

use super::block::{Block, BlockWriter, Ticket, decode, decode_tickets};

/// Bytes of encoded blocks that wait in memory before the rest goes to disk.
const IN_MEMORY: usize = 8 << 20;
/// Bytes after which a file takes no further block.
const IN_FILE: u64 = 128 << 20;

/// Encoded blocks, the first in memory, the others on disk.
pub(super) struct BlockStore {
    dir: PathBuf,
    in_memory: usize,
    waiting: VecDeque<Place>,
    /// How many parts of blocks were sealed.
    sealed: u64,
    /// The file that takes the next block, and where that will begin.
    filling: Option<(Arc<File>, u64)>,
    cipher: LessSafeKey,
}

/// Where a block is. The last one of a file closes it.
enum Place {
    Memory { tickets: Bytes, streams: Bytes },
    Disk { file: Arc<File>, tickets: Stretch, streams: Stretch },
}

/// A sealed part of a block in a file.
struct Stretch {
    offset: u64,
    length: usize,
    /// How many parts were sealed before it.
    number: u64,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
}

impl std::fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockStore").field("blocks", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl BlockStore {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|error| Error::new(ErrorKind::Internal, "the system gave no random bytes").because(&error))?;
        let key = UnboundKey::new(&AES_256_GCM, &key)
            .map_err(|_| Error::new(ErrorKind::Internal, "no key could be made for rows that wait on disk"))?;
        Ok(Self {
            dir: dir.to_owned(),
            in_memory: 0,
            waiting: VecDeque::new(),
            sealed: 0,
            filling: None,
            cipher: LessSafeKey::new(key),
        })
    }

    /// Takes a block, whose writer then begins the next one.
    pub(super) fn append(&mut self, block: &mut BlockWriter) -> Result<()> {
        if self.in_memory + block.bytes() <= IN_MEMORY {
            self.in_memory += block.bytes();
            let [tickets, streams] = [&block.tickets, &block.streams].map(|part| Bytes::copy_from_slice(part));
            self.waiting.push_back(Place::Memory { tickets, streams });
        } else {
            let (file, start) = match self.filling.take().filter(|(_, end)| *end < IN_FILE) {
                Some(filling) => filling,
                None => (self.new_file()?, 0),
            };
            let tickets = self.write(&file, start, &mut block.tickets)?;
            let streams = self.write(&file, tickets.end(), &mut block.streams)?;
            self.filling = Some((Arc::clone(&file), streams.end()));
            self.waiting.push_back(Place::Disk { file, tickets, streams });
        }
        block.clear();
        Ok(())
    }

    /// Seals a part of a block, and writes it to the end of a file.
    fn write(&mut self, mut file: &File, offset: u64, bytes: &mut Vec<u8>) -> Result<Stretch> {
        let number = self.sealed;
        self.sealed += 1;
        self.cipher
            .seal_in_place_append_tag(nonce(number), Aad::empty(), bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "rows that wait on disk could not be encrypted"))?;
        file.write_all(bytes).map_err(|error| self.disk("written", &error))?;
        Ok(Stretch { offset, length: bytes.len(), number })
    }

    /// The next block. Nothing may be appended any more.
    pub(super) fn take(&mut self) -> Result<Option<Block>> {
        let (tickets, streams) = match self.next() {
            None => return Ok(None),
            Some(Place::Memory { tickets, streams }) => (tickets, streams),
            Some(Place::Disk { file, tickets, streams }) => {
                (self.read_back(&file, &tickets)?, self.read_back(&file, &streams)?)
            }
        };
        decode(tickets, streams).map(Some)
    }

    /// The tickets of the next block. Nothing may be appended any more.
    pub(super) fn take_tickets(&mut self) -> Result<Option<Vec<Ticket>>> {
        let tickets = match self.next() {
            None => return Ok(None),
            Some(Place::Memory { tickets, .. }) => tickets,
            Some(Place::Disk { file, tickets, .. }) => self.read_back(&file, &tickets)?,
        };
        decode_tickets(tickets).map(Some)
    }

    fn next(&mut self) -> Option<Place> {
        self.filling = None;
        self.waiting.pop_front()
    }

    fn read_back(&self, mut file: &File, stretch: &Stretch) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(stretch.length);
        file.seek(SeekFrom::Start(stretch.offset))
            .and_then(|_| file.take(stretch.length as u64).read_to_end(&mut bytes))
            .map_err(|error| self.disk("read back", &error))?;
        let plain = self
            .cipher
            .open_in_place(nonce(stretch.number), Aad::empty(), &mut bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "rows that waited on disk were changed there"))?
            .len();
        bytes.truncate(plain);
        Ok(bytes.into())
    }

    fn new_file(&self) -> Result<Arc<File>> {
        std::fs::create_dir_all(&self.dir)
            .and_then(|()| tempfile::tempfile_in(&self.dir))
            .map(Arc::new)
            .map_err(|error| self.disk("created", &error))
    }

    fn disk(&self, verb: &str, error: &std::io::Error) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!("the encrypted file of rows that wait to be sent could not be {verb}"),
        )
        .with("directory", self.dir.display().to_string())
        .because(error)
    }
}

/// The number of a sealed part is used once per key, as the cipher demands.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::tests::page;
    use super::*;

    #[test]
    fn files_are_closed_as_they_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut block) = (BlockStore::new(dir.path()).unwrap(), BlockWriter::default());
        for from in (0..150_000).step_by(2000) {
            let (rows, tickets) = page(from, 2000, 2000);
            block.add(&rows, &tickets).unwrap();
            store.append(&mut block).unwrap();
        }
        let mut open = Vec::new();
        while store.take().unwrap().is_some() {
            let files = store.waiting.iter().filter_map(|place| match place {
                Place::Memory { .. } => None,
                Place::Disk { file, .. } => Some(Arc::as_ptr(file)),
            });
            open.push(files.collect::<HashSet<_>>().len());
        }
        open.dedup();
        assert_eq!(open, [3, 2, 1, 0], "of 300 MB, nothing holds a file whose last block was taken");
        assert!(store.filling.is_none());
    }
}

//! Whether a file is a whole library for this machine.
//!
//! The system's loader maps what the headers announce without looking at the file's length, and touching what is not there
//! kills the process. So a file that was cut off, by a full disk or a broken download, is found out here first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Length of the header of a 64-bit file.
const HEADER: usize = 64;
/// Fields that are read of each segment's entry.
const SEGMENT: usize = 40;

/// Says why the system's loader must not see `file`.
pub(crate) fn check(file: &File) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let length = file.metadata().map_err(unreadable)?.len();
    let mut header = [0; HEADER];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(no_library()),
        result => result.map_err(unreadable)?,
    }
    let end = end_of(file, &header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => truncated(length),
        _ => unreadable(error),
    })?;
    match end {
        None => Err(no_library()),
        Some(end) if end > length => Err(truncated(length)),
        Some(_) => Ok(()),
    }
}

/// Where the last of what the headers announce ends; `None` if they are not those of a library for this machine.
fn end_of(file: &File, header: &[u8; HEADER]) -> io::Result<Option<u64>> {
    let little_endian_64: &[u8] = b"\x7fELF\x02\x01";
    if !header.starts_with(little_endian_64) || u64_at(header, 16, 2) != DYNAMIC || !is_machine(u64_at(header, 18, 2)) {
        return Ok(None);
    }
    let (segments, sections) = (u64_at(header, 32, 8), u64_at(header, 40, 8));
    let (segment_size, segment_count) = (u64_at(header, 54, 2), u64_at(header, 56, 2));
    let (section_size, section_count) = (u64_at(header, 58, 2), u64_at(header, 60, 2));
    // The table of sections is the last thing in a file, as a rule; the loader needs the segments.
    let mut end = sections.saturating_add(section_size * section_count);
    for index in 0..segment_count {
        let mut segment = [0; SEGMENT];
        file.read_exact_at(&mut segment, segments.saturating_add(index * segment_size))?;
        end = end.max(u64_at(&segment, 8, 8).saturating_add(u64_at(&segment, 32, 8)));
    }
    Ok(Some(end))
}

/// The type of a file that can be loaded.
const DYNAMIC: u64 = 3;

fn is_machine(machine: u64) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => machine == 62,
        "aarch64" => machine == 183,
        "riscv64" => machine == 243,
        // The loader knows.
        _ => true,
    }
}

/// The little-endian number of `width` bytes at `offset`; 0 behind the end.
fn u64_at(bytes: &[u8], offset: usize, width: usize) -> u64 {
    let field = bytes.get(offset..offset + width).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn no_library() -> String {
    "is no library for this machine".to_owned()
}

fn truncated(length: u64) -> String {
    format!("is truncated: it ends after {length} bytes, before the end that its headers announce")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn judge(bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        check(&file)
    }

    #[test]
    fn a_whole_library_passes_and_no_part_of_it_does() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&this).unwrap();
        assert_eq!(check(&file), Ok(()));
        // From the longest to the shortest: one byte less, a thousand lengths across, and every length of the headers.
        let across = (1..1000).rev().map(|part| this.len() / 1000 * part);
        for length in [this.len() - 1].into_iter().chain(across).chain((0..2048).rev()) {
            file.set_len(length as u64).unwrap();
            let problem = if length < HEADER { "no library" } else { "truncated" };
            let refusal = check(&file).unwrap_err();
            assert!(refusal.contains(problem), "{length}: {refusal}");
        }
    }

    #[test]
    fn other_files_and_other_machines_are_refused() {
        let mut other = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(judge(&[b'x'; 100]).unwrap_err().contains("no library"));
        other[18] = 7;
        assert!(judge(&other).unwrap_err().contains("no library"));
    }
}

//! Files of made-up people.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::rig::problem;
use crate::proc::Done;

/// Writes a file of 12 columns and about 150 bytes a row.
pub(crate) fn profiles(path: &Path, count: u64) -> Done {
    changed_profiles(path, count, u64::MAX)
}

/// The same, where every row whose number is a multiple of `every` works elsewhere.
pub(crate) fn changed_profiles(path: &Path, count: u64, every: u64) -> Done {
    let first = ["Ada", "Zoë", "Søren", "Мария", "José", "Anne-Marie", "Li", "Fatima"];
    let last = ["Lovelace", "O'Neil", "Ångström", "Иванова", "García", "van der Berg", "Wang", "Haddad"];
    let city = ["Oslo", "London", "São Paulo", "Praha", "Nairobi", "Kyoto", "Lyon"];
    let pick = |words: &[&'static str], row: u64| {
        words.get(usize::try_from(row).unwrap_or(0) % words.len()).copied().unwrap_or_default()
    };
    write(path, count, |file, row| {
        writeln!(
            file,
            "c{row:08},person.{row}@customers.example,{},{},\"Company {}, Ltd\",+47 22 {:06},{} High Street,{},{:05},Norway,web,retail",
            pick(&first, row),
            pick(&last, row / 3),
            if row % every == 0 && every != u64::MAX { row % 977 + 1 } else { row % 977 },
            row % 1_000_000,
            row % 300,
            pick(&city, row / 7),
            row % 99_999,
        )
    })
}

/// Writes a file of profiles whose companies have names of about so many bytes.
pub(crate) fn wide_profiles(path: &Path, count: u64, length: usize) -> Done {
    let company = "and Sons ".repeat(length / "and Sons ".len());
    write(path, count, |file, row| {
        writeln!(file, "c{row:08},person.{row}@customers.example,Ada,Lovelace,{company}{row},,,,,,,")
    })
}

/// Writes a file of so many rows.
fn write(path: &Path, count: u64, mut row: impl FnMut(&mut BufWriter<File>, u64) -> io::Result<()>) -> Done {
    // A file of its own each time: an earlier one may have other names that must keep what it holds.
    fs::remove_file(path).ok();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(problem)?);
    writeln!(
        file,
        "customer_id,email,first_name,last_name,company,phone,street,city,postal_code,country,source,industry"
    )
    .map_err(problem)?;
    (0..count).try_for_each(|number| row(&mut file, number)).map_err(problem)?;
    // What is not on disk yet would be written while a run waits for the same disk.
    let file = file.into_inner().map_err(|error| problem(error.into_error()))?;
    file.sync_all().map_err(problem)
}

//! Rows a second: this source against a bare loop of the `csv` crate, over the same file in the same run.
//!
//! `cargo run --release -p segport-files --example read_speed [ROWS]`
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use segport_files::{Files, Read, Settings};
use segport_sdk::test::Script;
use segport_sdk::{Context, SegmentSource};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(2_000_000), |rows| rows.parse())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("profiles.csv");
    write_profiles(&file, rows)?;
    let megabytes = std::fs::metadata(&file)?.len() as f64 / 1e6;
    println!("{rows} rows of 12 columns, {megabytes:.0} MB");
    for round in 1..=3 {
        let bare = timed(|| bare_csv(&file))?;
        let text = timed(|| segport(folder.path(), r#"{"path":"profiles.csv","infer_types":false}"#))?;
        let typed = timed(|| segport(folder.path(), r#"{"path":"profiles.csv"}"#))?;
        for (name, (read, seconds)) in
            [("bare csv crate", bare), ("files, all text", text), ("files, inferred types", typed)]
        {
            println!(
                "round {round}: {name:<22} {:>6.2} M rows/s {:>6.0} MB/s",
                read as f64 / seconds / 1e6,
                megabytes / seconds
            );
        }
    }
    Ok(())
}

fn timed<E>(read: impl FnOnce() -> std::result::Result<u64, E>) -> std::result::Result<(u64, f64), E> {
    let begin = Instant::now();
    let rows = read()?;
    Ok((rows, begin.elapsed().as_secs_f64()))
}

/// Splits the file into records and fields, and makes nothing of them.
fn bare_csv(file: &Path) -> std::result::Result<u64, Box<dyn std::error::Error>> {
    let mut reader = csv::Reader::from_path(file)?;
    let mut record = csv::ByteRecord::new();
    let (mut rows, mut bytes) = (0, 0);
    while reader.read_byte_record(&mut record)? {
        rows += 1;
        bytes += record.iter().map(<[u8]>::len).sum::<usize>();
    }
    std::hint::black_box(bytes);
    Ok(rows)
}

fn segport(folder: &Path, read: &str) -> std::result::Result<u64, Box<dyn std::error::Error>> {
    let cx = Context::new("", Script::new().client());
    let source = Files::open(Settings { root: folder.to_owned(), project_dir: None }, &cx)?;
    let read: Read = serde_json::from_str(read)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let (mut rows, mut cursor) = (0, None);
        loop {
            let page = source.read(&cx, &read, cursor.as_deref()).await?;
            rows += page.rows.num_rows() as u64;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    })
}

fn write_profiles(file: &Path, rows: u64) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(b"customer_id,email,first_name,last_name,company,phone,street,city,country,created,orders,spent\n")?;
    for row in 0..rows {
        let number = row.wrapping_mul(2_654_435_761) % 1_000_003;
        writeln!(
            out,
            "{row},customer{number}@example.com,Given{},Family{},Company {} Ltd,+47 {number:08},{} Example Street,City{},NO,2026-{:02}-{:02},{},{}.{:02}",
            number % 997,
            number % 1_013,
            number % 311,
            number % 199,
            number % 503,
            number % 12 + 1,
            number % 28 + 1,
            number % 40,
            number % 9_999,
            number % 100,
        )?;
    }
    out.flush()
}

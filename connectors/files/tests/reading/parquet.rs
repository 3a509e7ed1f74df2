//! Reading Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{BrotliLevel, Compression};
use ::parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};
use ::parquet::file::properties::WriterProperties;
use arrow_array::builder::{ListBuilder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray,
    FixedSizeBinaryArray, Float32Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeStringArray, RecordBatch,
    StringArray, StringViewArray, StructArray, Time32MillisecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, extension};
use serde_json::json;

use crate::folder::{Folder, reasons};

fn file(columns: Vec<(&str, ArrayRef)>, rows_per_group: usize) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows_per_group)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn check(column: ArrayRef, schema: &str, rows: &[&str], unreadable: &[&str]) {
    let seen = Folder::with("f.parquet", file(vec![("c", column)], 2)).read(json!({"path": "f.parquet"})).unwrap();
    assert_eq!(seen.schema, schema);
    assert_eq!(seen.rows, rows);
    assert_eq!(reasons(&seen.unreadable), unreadable);
}

#[test]
fn every_type_arrives_as_a_plain_one_without_a_change() {
    check(Arc::new(Int16Array::from(vec![Some(-7), None, Some(8)])), "c:Int64", &["-7", "∅", "8"], &[]);
    check(Arc::new(UInt64Array::from(vec![1, 2, u64::MAX])), "c:Int64", &["1", "2", "18446744073709551615"], &[]);
    check(Arc::new(Float32Array::from(vec![0.1, 1.5])), "c:Float64", &["0.1", "1.5"], &[]);
    check(Arc::new(BooleanArray::from(vec![Some(true), None])), "c:Boolean", &["true", "∅"], &[]);
    check(Arc::new(Date32Array::from(vec![20_780])), "c:Date32", &["2026-11-23"], &[]);
    let decimal = Decimal128Array::from(vec![1_250, -5]).with_precision_and_scale(20, 2).unwrap();
    check(Arc::new(decimal), "c:Utf8", &["12.50", "-0.05"], &[]);
    check(Arc::new(LargeStringArray::from(vec!["Zoë", ""])), "c:Utf8", &["Zoë", ""], &[]);
    check(
        Arc::new(StringViewArray::from(vec![Some("a longer text than twelve bytes"), None])),
        "c:Utf8",
        &["a longer text than twelve bytes", "∅"],
        &[],
    );
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    dictionary.extend([Some("NO"), Some("SE"), Some("NO"), None]);
    check(Arc::new(dictionary.finish()), "c:Utf8", &["NO", "SE", "NO", "∅"], &[]);
    check(
        Arc::new(BinaryArray::from(vec![b"text".as_slice(), b"\xff"])),
        "c:Utf8",
        &["text"],
        &["2@-: the value of column `c` is not valid UTF-8"],
    );
    check(
        Arc::new(StringArray::from(vec!["a", "b", "x\0y"])),
        "c:Utf8",
        &["a", "b"],
        &["3@-: the value of column `c` contains a NUL character"],
    );
}

#[test]
fn times_finer_than_milliseconds_become_text() {
    let zoned = TimestampMillisecondArray::from(vec![1_795_428_000_123]).with_timezone("Europe/Oslo");
    check(Arc::new(zoned), "c:Timestamp(ms, \"UTC\")", &["2026-11-23T10:00:00.123Z"], &[]);
    let coarse = TimestampMicrosecondArray::from(vec![1_795_428_000_123_000]);
    check(Arc::new(coarse), "c:Timestamp(ms)", &["2026-11-23T10:00:00.123"], &[]);
    let fine = TimestampMicrosecondArray::from(vec![1_795_428_000_123_456]);
    check(Arc::new(fine), "c:Timestamp(ms)", &["2026-11-23T10:00:00.123456"], &[]);
    let fine = TimestampMicrosecondArray::from(vec![1_795_428_000_123_456]).with_timezone("Europe/Oslo");
    check(Arc::new(fine), "c:Timestamp(ms, \"UTC\")", &["2026-11-23T10:00:00.123456Z"], &[]);
}

#[test]
fn a_value_out_of_range_costs_its_row_and_no_other() {
    let lost = |rows: &[u64]| -> Vec<String> {
        rows.iter().map(|row| format!("{row}@-: the value of column `c` is out of range")).collect()
    };
    let check = |column: ArrayRef, schema: &str, rows: &[&str], unreadable: &[u64]| {
        let unreadable = lost(unreadable);
        check(column, schema, rows, &unreadable.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let (ten, fine) = (1_795_428_000_000_000, 1_795_428_000_000_001);
    let micros = vec![Some(ten), Some(i64::MAX), None, Some(i64::MIN), Some(i64::MAX), Some(fine)];
    let micros = TimestampMicrosecondArray::from(micros);
    let rows = ["2026-11-23T10:00:00", "∅", "2026-11-23T10:00:00.000001"];
    check(Arc::new(micros.clone()), "c:Timestamp(ms)", &rows, &[2, 4, 5]);
    let rows = ["2026-11-23T10:00:00Z", "∅", "2026-11-23T10:00:00.000001Z"];
    check(Arc::new(micros.with_timezone("UTC")), "c:Timestamp(ms, \"UTC\")", &rows, &[2, 4, 5]);
    let millis = TimestampMillisecondArray::from(vec![i64::MAX, ten / 1_000]);
    check(Arc::new(millis), "c:Timestamp(ms)", &["2026-11-23T10:00:00"], &[1]);
    // The last one is midnight to whoever counts seconds in 32 bits.
    let times = vec![36_000_000_000, 86_399_999_999, 86_400_000_000, -1, i64::MAX, 4_294_967_296_000_000];
    check(Arc::new(Time64MicrosecondArray::from(times)), "c:Utf8", &["10:00:00", "23:59:59.999999"], &[3, 4, 5, 6]);
    check(Arc::new(Time32MillisecondArray::from(vec![86_400_000, 0])), "c:Utf8", &["00:00:00"], &[1]);
}

#[test]
fn nested_values_are_json() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    check(Arc::new(lists.finish()), "c:Utf8", &["[\"a\",null]", "∅"], &[]);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let structs = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, false)), inner)]);
    check(Arc::new(structs), "c:Utf8", &["{\"x\":1}"], &[]);
}

#[test]
fn a_long_text_that_is_repeated_takes_no_more_memory_than_others() {
    let text = "x".repeat(64 << 10);
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&text, 4096)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4096));
    let bytes = file(vec![("a", texts), ("b", numbers)], 4096);
    assert!(bytes.len() < 1 << 20, "it is stored once");
    let folder = Folder::with("f.parquet", bytes);
    let (mut rows, mut cursor) = (0, None);
    loop {
        let page = folder.page(&json!({"path": "f.parquet"}), cursor.as_deref()).unwrap();
        assert!(page.rows.get_array_memory_size() < 16 << 20, "{} bytes", page.rows.get_array_memory_size());
        rows += page.rows.num_rows();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(rows, 4096);
    let page = folder.page(&json!({"path": "f.parquet", "columns": ["b"]}), None).unwrap();
    assert_eq!(page.rows.num_rows(), 4096, "what is not read takes no room");
}

#[test]
fn texts_stay_numbered_where_they_are_few_short_and_sound() {
    let numbered = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let check = |texts: &[Option<&str>], is_numbered: bool| {
        let column: StringArray = texts.iter().copied().cycle().take(1000).collect();
        let folder = Folder::with("f.parquet", file(vec![("c", Arc::new(column))], 1000));
        let page = folder.page(&json!({"path": "f.parquet"}), None).unwrap();
        assert_eq!(*page.rows.column(0).data_type() == numbered, is_numbered, "{texts:.20?}");
        let seen = folder.read(json!({"path": "f.parquet"})).unwrap();
        let expected: Vec<&str> = texts.iter().copied().cycle().take(1000).map(|text| text.unwrap_or("∅")).collect();
        let unsound = texts.iter().flatten().filter(|text| text.contains('\0')).count();
        assert_eq!(seen.schema, "c:Utf8", "what a project is checked against");
        assert_eq!(seen.unreadable.len(), 1000 / texts.len() * unsound);
        if unsound == 0 {
            assert_eq!(seen.rows, expected);
        }
    };
    check(&[Some("NO"), None, Some(""), Some("Zoë")], true);
    let many: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    check(&many.iter().map(|text| Some(&**text)).collect::<Vec<_>>(), false);
    check(&many.iter().take(250).map(|text| Some(&**text)).collect::<Vec<_>>(), true);
    check(&[Some("NO"), Some(&"long".repeat(128))], true);
    check(&[Some("NO"), Some(&"long.".repeat(128))], false);
    check(&[Some("NO"), Some("x\0y")], false);
}

#[test]
fn files_of_a_folder_must_agree() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let short: ArrayRef = Arc::new(Int32Array::from(vec![2]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let folder = Folder::with("1.parquet", file(vec![("a", numbers.clone()), ("b", texts.clone())], 9))
        .and("2.parquet", file(vec![("b", texts.clone()), ("a", short)], 9));
    assert_eq!(folder.read(json!({"path": "."})).unwrap().rows, ["1|x", "2|x"]);
    assert_eq!(folder.read(json!({"path": ".", "columns": ["b"]})).unwrap().rows, ["x", "x"]);

    folder.write("3.parquet", file(vec![("a", texts.clone()), ("b", texts)], 9));
    let message = folder.refusal(json!({"path": "."}));
    assert!(
        message.contains("`1.parquet` and `3.parquet`") && message.contains("(integer and string) for `a`"),
        "{message}"
    );
    assert_eq!(folder.schema(json!({"path": "."})).unwrap_err().to_string(), message, "a check says it before a run");
    folder.write("3.parquet", file(vec![("a", numbers)], 9));
    assert!(folder.refusal(json!({"path": "."})).contains("only the first has a usable column `b`"));
    let message = folder.refusal(json!({"path": "1.parquet", "columns": ["aa"]}));
    assert!(message.contains("has no column `aa`"), "{message}");
}

#[test]
fn columns_of_kinds_that_cannot_be_exported_are_left_out() {
    let durations: ArrayRef = Arc::new(DurationSecondArray::from(vec![1]));
    let digests: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[255_u8; 16]].into_iter()).unwrap());
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let columns = vec![("a", durations.clone()), ("b", texts.clone()), ("c", digests)];
    let folder = Folder::with("1.parquet", file(columns, 9)).and("2.parquet", file(vec![("b", texts)], 9));
    let seen = folder.read(json!({"path": "."})).unwrap();
    assert_eq!((&*seen.schema, &*seen.rows), ("b:Utf8", &["x".to_owned(), "x".to_owned()][..]));
    folder.write("4.parquet", file(vec![("a", durations)], 9));
    for read in [json!({"path": "4.parquet"}), json!({"path": "1.parquet", "columns": ["b", "a"]})] {
        let message = folder.refusal(read);
        assert!(
            message.starts_with("column `a` of ") && message.contains(" has durations, which cannot be exported"),
            "{message}"
        );
    }
}

/// A photo makes no row unreadable for an export that does not use it.
#[test]
fn of_columns_that_are_not_used_nothing_is_read() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
    let photos: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..20_000).map(|_| [0xff, 0xd8, 0xff])));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..20_000).map(|number| format!("p{number}"))));
    let whole = vec![("number", numbers.clone()), ("photo", photos.clone()), ("text", texts.clone())];
    let moved = vec![("text", texts), ("photo", photos), ("number", numbers)];
    let mut folder = Folder::with("1.parquet", file(whole, 7_000)).and("2.parquet", file(moved, 9_000));
    let read = json!({"path": "."});
    let expected: Vec<String> = (0..20_000).map(|number| format!("{number}|p{number}")).collect();
    let expected = [&expected[..], &expected[..]].concat();
    assert_eq!(folder.read(read.clone()).unwrap().unreadable.len(), 40_000);
    for is_known in [false, true] {
        folder.reopen();
        if is_known {
            folder.schema(read.clone()).unwrap();
        }
        assert_eq!(folder.read_columns(&read, &["text", "number", "nothing"]), expected);
        assert_eq!(folder.read_columns(&read, &["number"]).len(), 40_000);
    }
    // Of other formats it is no more than a hint.
    let texts = Folder::with("1.csv", "a,b\n1,2\n");
    assert_eq!(texts.read_columns(&json!({"path": "1.csv"}), &["a"]), ["1|2"]);
    // Files of one segment must agree all the same, as a check of the project says.
    folder.write("3.parquet", file(vec![("number", Arc::new(Int64Array::from(vec![1])))], 9));
    assert!(folder.refusal(read).contains("only the first has a usable column"));
}

#[test]
fn uuids_are_text() {
    let id = [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
    let ids: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(id), None].into_iter(), 16).unwrap());
    let field = Field::new("c", DataType::FixedSizeBinary(16), true).with_extension_type(extension::Uuid);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![ids]).unwrap();
    // With the types that the writer had in memory beside those of Parquet, and, as of other writers, without.
    for is_told in [true, false] {
        let mut bytes = Vec::new();
        let options = ArrowWriterOptions::new().with_skip_arrow_metadata(!is_told);
        let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let seen = Folder::with("f.parquet", bytes).read(json!({"path": "f.parquet"})).unwrap();
        assert_eq!(
            (&*seen.schema, &*seen.rows),
            ("c:Utf8", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_owned(), "∅".to_owned()][..])
        );
    }
}

#[test]
fn values_that_were_numbered_in_memory_are_read_as_they_are() {
    let of = |values: ArrayRef| -> ArrayRef {
        let numbers = Int8Array::from_iter_values(0..i8::try_from(values.len()).unwrap());
        Arc::new(DictionaryArray::<Int8Type>::try_new(numbers, values).unwrap())
    };
    let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    check(of(Arc::clone(&truths)), "c:Boolean", &["true", "false"], &[]);
    let decimal = Decimal128Array::from(vec![1_250, -5]).with_precision_and_scale(20, 2).unwrap();
    check(of(Arc::new(decimal)), "c:Utf8", &["12.50", "-0.05"], &[]);
    let field = Field::new("x", of(Arc::clone(&truths)).data_type().clone(), true);
    let structs = StructArray::from(vec![(Arc::new(field), of(truths))]);
    check(Arc::new(structs), "c:Utf8", &["{\"x\":true}", "{\"x\":false}"], &[]);

    // More in one row group than such a number tells apart.
    for values in [
        |from: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(from..from + 100)) },
        |from: i64| -> ArrayRef { Arc::new(StringArray::from_iter_values((from..from + 100).map(|n| n.to_string()))) },
    ] {
        let batches = [0, 100].map(|from| RecordBatch::try_from_iter([("c", of(values(from)))]).unwrap());
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
        let seen = Folder::with("f.parquet", bytes).read(json!({"path": "f.parquet"})).unwrap();
        assert_eq!(seen.rows, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_page_that_differs_from_its_checksum_is_no_data() {
    // Written by pyarrow, which can add checksums.
    let mut bytes = include_bytes!("checksums.parquet").to_vec();
    let folder = Folder::with("f.parquet", &bytes);
    assert_eq!(folder.read(json!({"path": "f.parquet"})).unwrap().rows, ["known text"]);
    let place = bytes.windows(5).position(|bytes| bytes == b"known").unwrap();
    bytes[place] = b'K';
    folder.write("f.parquet", bytes);
    let message = folder.refusal(json!({"path": "f.parquet"}));
    assert!(message.contains("`f.parquet` is not a whole Parquet file"), "{message}");
}

/// The file with another codec in its footer.
fn compressed(path: &Path, codec: Compression) -> Vec<u8> {
    let found = ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap();
    let mut builder = found.into_builder();
    for group in builder.take_row_groups() {
        let chunks = group.columns().iter().cloned();
        let chunks = chunks.map(|chunk| chunk.into_builder().set_compression(codec).build().unwrap());
        let chunks = chunks.collect();
        builder = builder.add_row_group(group.into_builder().set_column_metadata(chunks).build().unwrap());
    }
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &builder.build()).finish().unwrap();
    [std::fs::read(path).unwrap(), footer].concat()
}

#[test]
fn a_compression_that_is_not_read_is_told_before_a_run() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let whole = file(vec![("a", numbers)], 10);
    for (codec, name) in [
        (Compression::BROTLI(BrotliLevel::default()), "Brotli"),
        (Compression::LZ4, "LZ4"),
        (Compression::LZ4_RAW, "LZ4"),
        (Compression::LZO, "LZO"),
    ] {
        let folder = Folder::with("1.parquet", &whole);
        folder.write("2.parquet", compressed(&folder.path().join("1.parquet"), codec));
        let expected = format!("`2.parquet` is compressed with {name}, which is not read: write the file with Snappy");
        let planned = folder.schema(json!({"path": "2.parquet"})).unwrap_err().to_string();
        let read = folder.refusal(json!({"path": "."}));
        assert!(planned.contains(&expected) && read.contains(&expected), "{planned}\n{read}");
    }
}

#[test]
fn a_broken_file_is_an_error_that_names_it() {
    let whole = file(vec![("a", Arc::new(Int64Array::from_iter_values(0..100)))], 10);
    let cut = whole.get(..whole.len() / 2).unwrap();
    for bytes in [b"".as_slice(), b"PAR1", b"a,b\n1,2\n", cut] {
        let message = Folder::with("f.parquet", bytes).refusal(json!({"path": "f.parquet"}));
        assert!(message.contains("`f.parquet` is not a whole Parquet file"), "{message}");
    }
}

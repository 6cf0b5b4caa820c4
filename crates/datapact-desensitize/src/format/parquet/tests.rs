#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use parquet::data_type::{ByteArray, FixedLenByteArray};

use super::codec::{Codec, Value};
use super::*;
use crate::format::{Format, Formulas, Options, Outgoing};
use crate::format::{Input, Sink as _, Source as _};
use crate::table::{Field, Kind, Record};

/// Three columns: a required id, a nullable date, a text.
fn sample() -> Vec<u8> {
    compressed(Compression::SNAPPY)
}

fn compressed(compression: Compression) -> Vec<u8> {
    use parquet::basic::{LogicalType, Repetition, Type as Physical};
    use parquet::schema::types::Type;
    let column = |name: &str, physical, logical, repetition| {
        let built = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        Arc::new(built.with_repetition(repetition).build().unwrap())
    };
    let fields = vec![
        column("id", Physical::INT64, None, Repetition::REQUIRED),
        column("born", Physical::INT32, Some(LogicalType::Date), Repetition::OPTIONAL),
        column("name", Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
    ];
    let layout = Layout { fields: Arc::new(fields), compression };
    let outgoing: Vec<Outgoing> = ["id", "born", "name"]
        .iter()
        .enumerate()
        .map(|(index, name)| Outgoing {
            name: (*name).to_owned(),
            typed_as: Some(index),
            whole: true,
        })
        .collect();
    let mut file = tempfile::tempfile().unwrap();
    let mut sink =
        ParquetSink::create(Box::new(file.try_clone().unwrap()), &outgoing, &layout).unwrap();
    for id in 0..1000_u32 {
        let mut record = Record::default();
        record.push(Field { kind: Kind::Number, bytes: id.to_string().as_bytes() });
        let born = if id % 3 == 0 {
            Field { kind: Kind::Null, bytes: b"" }
        } else {
            Field::text(b"1980-05-17")
        };
        record.push(born);
        record.push(Field::text(format!("name {id}").as_bytes()));
        sink.write(&record).unwrap();
    }
    sink.finish().unwrap();
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn read_all(bytes: &[u8]) -> crate::Result<u64> {
    let mut source = ParquetSource::open(file(bytes))?;
    let (mut record, mut count) = (Record::default(), 0);
    while source.read(&mut record)? {
        count += 1;
    }
    Ok(count)
}

#[test]
fn a_file_is_desensitized_into_a_file_of_the_same_types() {
    let rules = "version = 1\n[[column]]\nname = \"id\"\ntransform = \"keep\"\n\
        [[column]]\nname = \"born\"\ntransform = \"generalize\"\nas = \"date\"\nto = \"year\"\n\
        [[column]]\nname = \"name\"\ntransform = \"mask\"\n";
    let plan = crate::Plan::new(rules.as_bytes(), std::path::Path::new("."), None).unwrap();
    let mut input = Input::file(file(&sample()), Some("parquet"), Options::default()).unwrap();
    let out = tempfile::tempfile().unwrap();
    let report =
        crate::run(&mut input, &plan, Box::new(out.try_clone().unwrap()), &mut |_| {}).unwrap();
    assert_eq!(
        (report.records, report.columns[1].absent, report.columns[1].changed),
        (1000, 334, 666)
    );
    let mut source = ParquetSource::open(out).unwrap();
    let mut record = Record::default();
    assert!(source.read(&mut record).unwrap());
    assert_eq!(record.field(0), Field { kind: Kind::Number, bytes: b"0" });
    assert_eq!(record.field(1).kind, Kind::Null);
    assert!(source.read(&mut record).unwrap());
    assert_eq!(record.field(1), Field::text(b"1980"));
    assert_eq!(record.field(2), Field::text(b"******"));
}

#[test]
fn every_compression_comes_out_as_it_went_in() {
    let plan = "version = 1\n[[column]]\nname = \"id\"\ntransform = \"keep\"\n\
        [[column]]\nname = \"born\"\ntransform = \"drop\"\n\
        [[column]]\nname = \"name\"\ntransform = \"mask\"\n";
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::LZ4_RAW,
    ] {
        let out = desensitized(&compressed(compression), plan).unwrap();
        let mut source = ParquetSource::open(out).unwrap();
        let found = source.dialect().layout.as_ref().unwrap().compression;
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&compression));
        let mut record = Record::default();
        assert!(source.read(&mut record).unwrap());
        assert_eq!(record.field(1), Field::text(b"******"), "{compression:?}");
    }
}

fn desensitized(bytes: &[u8], rules: &str) -> crate::Result<File> {
    let plan = crate::Plan::new(rules.as_bytes(), std::path::Path::new("."), None).unwrap();
    let mut input = Input::file(file(bytes), Some("parquet"), Options::default()).unwrap();
    let out = tempfile::tempfile().unwrap();
    crate::run(&mut input, &plan, Box::new(out.try_clone().unwrap()), &mut |_| {})?;
    Ok(out)
}

/// A nested column between flat ones, one of which has the former type of timestamps.
fn nested() -> Vec<u8> {
    use parquet::data_type::{ByteArrayType, Int32Type, Int64Type, Int96, Int96Type};
    use parquet::file::writer::SerializedFileWriter;
    let schema = "message m { required int64 id; \
        required group g { required int32 a; repeated int32 b; } \
        required int96 at; repeated int32 many; required binary name (STRING); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut at = Int96::new();
    at.set_data(500_000_000, 0, 2_440_589);
    macro_rules! column {
        ($type:ty, $values:expr, $definitions:expr) => {{
            let mut column = group.next_column().unwrap().unwrap();
            let repetitions: Option<&[i16]> = $definitions.map(|_| &[0][..]);
            column.typed::<$type>().write_batch($values, $definitions, repetitions).unwrap();
            column.close().unwrap();
        }};
    }
    column!(Int64Type, &[7], None::<&[i16]>);
    column!(Int32Type, &[1], None::<&[i16]>);
    column!(Int32Type, &[2], Some(&[1][..]));
    column!(Int96Type, &[at], None::<&[i16]>);
    column!(Int32Type, &[3], Some(&[1][..]));
    column!(ByteArrayType, &[ByteArray::from("Ada")], None::<&[i16]>);
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn nested_columns_can_be_dropped_and_nothing_else() {
    let rules = |g: &str| {
        let columns =
            [("id", "keep"), ("g", g), ("at", "keep"), ("many", "drop"), ("name", "mask")];
        let columns = columns
            .map(|(name, to)| format!("[[column]]\nname = \"{name}\"\ntransform = \"{to}\"\n"));
        format!("version = 1\n{}", columns.concat())
    };
    let mut source = ParquetSource::open(desensitized(&nested(), &rules("drop")).unwrap()).unwrap();
    let mut record = Record::default();
    assert!(source.read(&mut record).unwrap());
    assert_eq!(record.field(0).bytes, b"7");
    assert_eq!(record.field(1), Field::text(b"1970-01-02T00:00:00.5"));
    assert_eq!(record.field(2), Field::text(b"***"));
    for other in ["keep", "redact", "mask"] {
        let error = desensitized(&nested(), &rules(other)).unwrap_err().to_string();
        assert!(error.contains("`g`") && error.contains("can only be dropped"), "{error}");
    }
}

#[test]
fn large_row_groups_are_spilled_and_come_to_the_same() {
    // Small row groups, then ones that are 16 times what fits into memory.
    for (chunks, groups) in [(0, 15..60), (4 * (8 << 10), 2..5)] {
        let mut source = ParquetSource::open(file(&sample())).unwrap();
        let layout = source.dialect().layout.clone().unwrap();
        let outgoing: Vec<Outgoing> = ["id", "born", "name"]
            .iter()
            .enumerate()
            .map(|(index, name)| Outgoing {
                name: (*name).to_owned(),
                typed_as: Some(index),
                whole: true,
            })
            .collect();
        let out = tempfile::tempfile().unwrap();
        let mut sink =
            ParquetSink::create(Box::new(out.try_clone().unwrap()), &outgoing, &layout).unwrap();
        sink.limit(4 << 10, chunks);
        let mut record = Record::default();
        while source.read(&mut record).unwrap() {
            sink.write(&record).unwrap();
        }
        sink.finish().unwrap();
        let (mut before, mut after) =
            (ParquetSource::open(file(&sample())).unwrap(), ParquetSource::open(out).unwrap());
        let (mut expected, mut records) = (Record::default(), 0);
        while before.read(&mut expected).unwrap() {
            assert!(after.read(&mut record).unwrap());
            (0..3).for_each(|index| assert_eq!(record.field(index), expected.field(index)));
            records += 1;
        }
        assert!(!after.read(&mut record).unwrap() && records == 1000);
        assert!(groups.contains(&after.row_groups()), "{}", after.row_groups());
    }
}

#[test]
fn pages_that_outgrow_the_memory_are_spilled_and_come_to_the_same() {
    for (bytes, spills) in [(sample(), true), (nested(), false)] {
        let read = |pages_max: usize| {
            let mut source = ParquetSource::open(file(&bytes)).unwrap();
            source.limit_pages(pages_max);
            let (mut record, mut fields) = (Record::default(), Vec::new());
            while source.read(&mut record).unwrap() {
                fields.extend(
                    (0..record.len())
                        .map(|i| (record.field(i).kind, record.field(i).bytes.to_vec())),
                );
            }
            (fields, source.is_spilled())
        };
        let (direct, spilled) = (read(usize::MAX), read(0));
        // What is read at once needs no pages any more.
        assert_eq!((direct.1, spilled.1), (false, spills));
        assert_eq!(direct.0, spilled.0);
        // From the second batch of rows on, as the first page of a column may be smaller than the
        // others.
        let (half, _) = read(direct.0.len());
        assert_eq!(half, direct.0);
    }
}

#[test]
fn a_pipe_is_refused_with_a_hint() {
    let stream = Box::new(std::io::Cursor::new(sample()));
    let error = Input::stream(stream, Some("parquet"), Options::default()).open().err().unwrap();
    assert!(matches!(error, crate::Error::NotSeekable("Parquet")));
    let _ = (Format::Parquet, Formulas::Keep);
}

#[test]
fn truncated_and_damaged_files_are_refused_and_never_panic() {
    let bytes = sample();
    assert_eq!(read_all(&bytes).unwrap(), 1000);
    for cut in [0, 3, 4, 8, bytes.len() / 2, bytes.len() - 1] {
        assert!(read_all(&bytes[..cut]).is_err(), "cut to {cut} bytes");
    }
    // Whatever a flipped byte does, it ends: in an error, or in other values.
    for at in (0..bytes.len()).step_by(41) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let _ = read_all(&flipped);
    }
}

fn int96(low: u32, high: u32, day: u32) -> Value {
    let mut value = parquet::data_type::Int96::new();
    value.set_data(low, high, day);
    Value::I96(value)
}

#[test]
fn every_type_comes_out_as_it_went_in() {
    for (codec, value, text) in [
        (Codec::Bool, Value::Bool(true), "true"),
        (Codec::Int32(-9, 9), Value::I32(-5), "-5"),
        (Codec::UInt32(u32::MAX), Value::I32(-1), "4294967295"),
        (Codec::Int64(i64::MIN, i64::MAX), Value::I64(i64::MIN), "-9223372036854775808"),
        (Codec::UInt64, Value::I64(-1), "18446744073709551615"),
        (Codec::Float, Value::F32(0.1), "0.1"),
        (Codec::Double, Value::F64(1e300), "1e300"),
        (Codec::Date, Value::I32(0), "1970-01-01"),
        (Codec::Date, Value::I32(-719_163 * 3), "-2157489"),
        (Codec::Timestamp(3), Value::I64(-1), "1969-12-31T23:59:59.999"),
        (Codec::Timestamp(9), Value::I64(1_500_000_000), "1970-01-01T00:00:01.5"),
        (Codec::Timestamp(6), Value::I64(i64::MAX), "9223372036854775807"),
        (Codec::Timestamp(9), Value::I64(i64::MIN), "1677-09-21T00:12:43.145224192"),
        (Codec::Int96, int96(1, 0, 2_440_588), "1970-01-01T00:00:00.000000001"),
        (Codec::Int96, int96(0, 0, 5_373_484), "9999-12-31T00:00:00"),
        (Codec::Int96, int96(u32::MAX, u32::MAX, 7), "ffffffffffffffff00000007"),
        (Codec::Decimal32(2, 999), Value::I32(-5), "-0.05"),
        (Codec::Decimal64(3, 9999), Value::I64(1500), "1.500"),
        (Codec::Text, Value::Bytes(ByteArray::from("ö")), "ö"),
        (Codec::Bytes, Value::Bytes(ByteArray::from(vec![0, 255])), "00ff"),
        (Codec::Fixed(1), Value::Fixed(FixedLenByteArray::from(vec![7])), "07"),
    ] {
        let mut out = Vec::new();
        codec.write(&value, &mut out).unwrap();
        assert_eq!(String::from_utf8(out.clone()).unwrap(), text);
        assert_eq!(codec.read(&out), Some(value), "{text}");
    }
    // What a transform makes is rounded and kept within the type.
    let large = "9".repeat(300);
    for (codec, text, value) in [
        (Codec::Int32(-128, 127), "90.5", Value::I32(91)),
        (Codec::Int32(-128, 127), "500", Value::I32(127)),
        (Codec::Int64(i64::MIN, i64::MAX), large.as_str(), Value::I64(i64::MAX)),
        (Codec::UInt32(255), "-3", Value::I32(0)),
        (Codec::UInt64, large.as_str(), Value::I64(-1)),
        (Codec::Decimal32(2, 9999), "-100.00", Value::I32(-9999)),
        (Codec::Decimal64(2, 9999), "1.256", Value::I64(126)),
        (Codec::Decimal64(2, 9999), "7", Value::I64(700)),
    ] {
        assert_eq!(codec.read(text.as_bytes()), Some(value), "{text}");
    }
    assert_eq!(Codec::Int32(0, 9).read(b"nine"), None);
}

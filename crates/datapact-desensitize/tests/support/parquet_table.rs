//! A Parquet table with a column of each type.

use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    FloatType, Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::writer::SerializedFileWriter;

/// A column of each type, with its extremes.
pub(crate) const SCHEMA: &str = "message m {
    required int32 k;
    optional boolean bool; required int32 i32; optional int64 i64;
    optional int32 i8 (INTEGER(8,true));
    optional int32 u8 (INTEGER(8,false)); required int32 u32 (INTEGER(32,false));
    optional int64 u64 (INTEGER(64,false));
    optional int96 i96; optional float f32; required double f64; optional int32 date (DATE);
    optional int64 ms (TIMESTAMP(MILLIS,true));
    required int64 us (TIMESTAMP(MICROS,false)); optional int64 ns (TIMESTAMP(NANOS,true));
    optional int32 time (TIME(MILLIS,true));
    optional int32 d32 (DECIMAL(5,2)); required int64 d64 (DECIMAL(18,6));
    optional binary text (STRING); required binary enum (ENUM);
    optional binary bytes; optional fixed_len_byte_array(2) fixed;
}";

/// A Parquet file with [`SCHEMA`]: five rows, with the extremes of each type and a null.
pub(crate) fn of_all_types() -> Vec<u8> {
    let schema = Arc::new(parquet::schema::parser::parse_message_type(SCHEMA).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::clone(&schema), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for field in schema.get_fields() {
        let mut column = group.next_column().unwrap().unwrap();
        let optional = field.is_optional();
        let levels: Option<&[i16]> = optional.then_some(&[1, 1, 1, 0, 1]);
        macro_rules! put {
            ($type:ty, $values:expr) => {{
                let values = $values;
                let values = if optional { &values[..4] } else { &values[..] };
                column.typed::<$type>().write_batch(values, levels, None).unwrap();
            }};
        }
        let text = |text: &str| ByteArray::from(text);
        let int96 = |words: [u32; 3]| {
            let mut value = Int96::new();
            value.set_data(words[0], words[1], words[2]);
            value
        };
        match (field.get_physical_type(), field.name()) {
            (Physical::BOOLEAN, _) => put!(BoolType, [true, false, true, false, true]),
            (Physical::INT32, "i8") => put!(Int32Type, [-128, 127, 0, 27, 5]),
            (Physical::INT32, "u8" | "time") => put!(Int32Type, [0, 255, 7, 27, 5]),
            (Physical::INT32, "d32") => put!(Int32Type, [-99_999, 99_999, 0, 27, 5]),
            (Physical::INT32, _) => put!(Int32Type, [i32::MIN, i32::MAX, 0, 27, 19_000]),
            (Physical::INT64, "d64") => {
                put!(Int64Type, [-999_999_999_999_999_999, 999_999_999_999_999_999, 0, 27, 5])
            }
            (Physical::INT64, _) => put!(Int64Type, [i64::MIN, i64::MAX, 0, 27, 1_700_000_000_000]),
            (Physical::INT96, _) => {
                let last = [u32::MAX, u32::MAX, u32::MAX];
                let values = [[0, 0, 0], last, [1, 0, 2_440_589], [0, 0, 2_450_000], [0, 0, 1]];
                put!(Int96Type, values.map(int96));
            }
            (Physical::FLOAT, _) => put!(FloatType, [f32::MIN, f32::NAN, f32::INFINITY, 27.5, 0.1]),
            (Physical::DOUBLE, _) => {
                put!(DoubleType, [f64::MIN, f64::MIN_POSITIVE, f64::NEG_INFINITY, f64::NAN, 27.5])
            }
            (Physical::BYTE_ARRAY, "bytes") => {
                put!(
                    ByteArrayType,
                    [vec![0, 255], vec![], vec![10], vec![1; 300], vec![2]].map(ByteArray::from)
                );
            }
            (Physical::BYTE_ARRAY, _) => {
                put!(ByteArrayType, ["27.5", "text", "", "2024-05-17", "27,5"].map(text))
            }
            (Physical::FIXED_LEN_BYTE_ARRAY, _) => {
                let values = [vec![0, 255], vec![1, 2], vec![10, 10], vec![7, 7], vec![8, 8]];
                put!(FixedLenByteArrayType, values.map(FixedLenByteArray::from));
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

//! How values of Parquet's types are written as text, and read again.

use std::io::Write as _;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::schema::types::Type;
use time::{Date, OffsetDateTime};

use crate::table::Kind;

/// The julian day of 1970-01-01.
const EPOCH: i64 = 2_440_588;

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Bool,
    /// Whole numbers from one to another.
    Int32(i32, i32),
    Int64(i64, i64),
    /// Whole numbers from 0 on, in the bits of signed ones.
    UInt32(u32),
    UInt64,
    Float,
    Double,
    /// Days since 1970: `2024-05-17`.
    Date,
    /// Units since 1970, of which a second has 10 to this power: `2024-05-17T10:20:30.5`.
    Timestamp(u32),
    /// The same with nanoseconds, as a Julian day and the time within it: the way before timestamps
    /// had a type.
    Int96,
    /// With so many decimals, up to so many units.
    Decimal32(u32, i32),
    Decimal64(u32, i64),
    Text,
    /// Hexadecimal, which transforms cannot look into.
    Bytes,
    Fixed(usize),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    I32(i32),
    I64(i64),
    I96(Int96),
    F32(f32),
    F64(f64),
    Bytes(ByteArray),
    Fixed(FixedLenByteArray),
}

macro_rules! value_from {
    ($($variant:ident($type:ty)),*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

value_from!(
    Bool(bool),
    I32(i32),
    I64(i64),
    I96(Int96),
    F32(f32),
    F64(f64),
    Bytes(ByteArray),
    Fixed(FixedLenByteArray)
);

impl Codec {
    /// The codec of a flat column; none of nested and repeated ones.
    pub(super) fn of(field: &Type) -> Option<Self> {
        let Type::PrimitiveType { basic_info, physical_type, scale, precision, type_length } =
            field
        else {
            return None;
        };
        if basic_info.repetition() == Repetition::REPEATED {
            return None;
        }
        let logical = basic_info.logical_type_ref();
        let converted = basic_info.converted_type();
        let scale = u32::try_from(*scale).unwrap_or(0);
        // Writers declare a type in the newer way, the older or both; either is enough. Bounds are
        // those of the declared type, so that no transform writes what other readers refuse.
        Some(match (physical_type, logical, converted) {
            (Physical::BOOLEAN, ..) => Self::Bool,
            (Physical::INT32, Some(LogicalType::Date), _)
            | (Physical::INT32, _, ConvertedType::DATE) => Self::Date,
            (Physical::INT32, _, ConvertedType::DECIMAL)
            | (Physical::INT32, Some(LogicalType::Decimal(_)), _) => {
                Self::Decimal32(scale, i32::try_from(units_max(*precision)).unwrap_or(i32::MAX))
            }
            (Physical::INT32, _, ConvertedType::UINT_8) => Self::UInt32(u8::MAX.into()),
            (Physical::INT32, _, ConvertedType::UINT_16) => Self::UInt32(u16::MAX.into()),
            (Physical::INT32, _, ConvertedType::UINT_32) => Self::UInt32(u32::MAX),
            (Physical::INT32, _, ConvertedType::INT_8) => {
                Self::Int32(i8::MIN.into(), i8::MAX.into())
            }
            (Physical::INT32, _, ConvertedType::INT_16) => {
                Self::Int32(i16::MIN.into(), i16::MAX.into())
            }
            (Physical::INT32, _, ConvertedType::TIME_MILLIS) => Self::Int32(0, 86_399_999),
            (Physical::INT32, ..) => Self::Int32(i32::MIN, i32::MAX),
            (Physical::INT64, Some(LogicalType::Timestamp(time)), _) => {
                Self::Timestamp(match time.unit {
                    TimeUnit::MILLIS => 3,
                    TimeUnit::MICROS => 6,
                    TimeUnit::NANOS => 9,
                })
            }
            (Physical::INT64, _, ConvertedType::TIMESTAMP_MILLIS) => Self::Timestamp(3),
            (Physical::INT64, _, ConvertedType::TIMESTAMP_MICROS) => Self::Timestamp(6),
            (Physical::INT64, _, ConvertedType::DECIMAL)
            | (Physical::INT64, Some(LogicalType::Decimal(_)), _) => {
                Self::Decimal64(scale, units_max(*precision))
            }
            (Physical::INT64, _, ConvertedType::UINT_64) => Self::UInt64,
            (Physical::INT64, _, ConvertedType::TIME_MICROS) => Self::Int64(0, 86_399_999_999),
            (Physical::INT64, ..) => Self::Int64(i64::MIN, i64::MAX),
            (Physical::INT96, ..) => Self::Int96,
            (Physical::FLOAT, ..) => Self::Float,
            (Physical::DOUBLE, ..) => Self::Double,
            (
                Physical::BYTE_ARRAY,
                Some(LogicalType::String | LogicalType::Enum | LogicalType::Json),
                _,
            )
            | (
                Physical::BYTE_ARRAY,
                _,
                ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON,
            ) => Self::Text,
            (Physical::BYTE_ARRAY, ..) => Self::Bytes,
            (Physical::FIXED_LEN_BYTE_ARRAY, ..) => {
                Self::Fixed(usize::try_from(*type_length).ok()?)
            }
        })
    }

    /// The same for values that stay what they are, even where the type does not allow for them.
    pub(super) fn unchecked(self) -> Self {
        match self {
            Self::Int32(..) => Self::Int32(i32::MIN, i32::MAX),
            Self::Int64(..) => Self::Int64(i64::MIN, i64::MAX),
            Self::UInt32(_) => Self::UInt32(u32::MAX),
            Self::Decimal32(scale, _) => Self::Decimal32(scale, i32::MAX),
            Self::Decimal64(scale, _) => Self::Decimal64(scale, i64::MAX),
            other => other,
        }
    }

    /// Appends a value as text; none if a text is not UTF-8.
    pub(super) fn write(self, value: &Value, out: &mut Vec<u8>) -> Option<Kind> {
        let written = match (self, value) {
            (_, Value::Bool(value)) => {
                out.extend_from_slice(if *value { b"true" } else { b"false" });
                return Some(Kind::Bool);
            }
            (Self::Text, Value::Bytes(bytes)) => {
                out.extend_from_slice(std::str::from_utf8(bytes.data()).ok()?.as_bytes());
                return Some(Kind::Text);
            }
            (_, Value::Bytes(bytes)) => {
                out.extend_from_slice(hex::encode(bytes.data()).as_bytes());
                return Some(Kind::Nested);
            }
            (_, Value::Fixed(bytes)) => {
                out.extend_from_slice(hex::encode(bytes.data()).as_bytes());
                return Some(Kind::Nested);
            }
            (Self::Date, Value::I32(days)) => match date(i64::from(*days)) {
                Some(date) => {
                    write_date(date, out);
                    return Some(Kind::Text);
                }
                None => write!(out, "{days}"),
            },
            (Self::Timestamp(digits), Value::I64(units)) => {
                return Some(write_time(*units, digits, out));
            }
            (_, Value::I96(value)) => {
                return Some(write_int96(value, out));
            }
            (Self::Decimal32(scale, _), Value::I32(units)) => {
                write_decimal(i64::from(*units), scale, out)
            }
            (Self::Decimal64(scale, _), Value::I64(units)) => write_decimal(*units, scale, out),
            (Self::UInt32(_), Value::I32(value)) => write!(out, "{}", *value as u32),
            (Self::UInt64, Value::I64(value)) => write!(out, "{}", *value as u64),
            (_, Value::I32(value)) => write!(out, "{value}"),
            (_, Value::I64(value)) => write!(out, "{value}"),
            // The shortest text that reads as the same number.
            (_, Value::F32(value)) => write!(out, "{value:?}"),
            (_, Value::F64(value)) => write!(out, "{value:?}"),
        };
        written.ok().map(|()| Kind::Number)
    }

    /// Reads what [`Codec::write`] or a transform that keeps numbers numbers has written. A number
    /// that the type has no room for becomes the nearest that it has.
    pub(super) fn read(self, text: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(text).ok()?;
        let within_32 = |low: i32, high: i32, scale| {
            Some(Value::I32(units(text, scale)?.clamp(low.into(), high.into()) as i32))
        };
        let within_64 = |low: i64, high: i64, scale| {
            Some(Value::I64(units(text, scale)?.clamp(low.into(), high.into()) as i64))
        };
        Some(match self {
            Self::Bool => Value::Bool(text.parse().ok()?),
            Self::Int32(low, high) => within_32(low, high, 0)?,
            Self::Int64(low, high) => within_64(low, high, 0)?,
            Self::UInt32(high) => Value::I32(units(text, 0)?.clamp(0, high.into()) as u32 as i32),
            Self::UInt64 => Value::I64(units(text, 0)?.clamp(0, u64::MAX.into()) as u64 as i64),
            Self::Float => Value::F32(text.parse().ok()?),
            Self::Double => Value::F64(text.parse().ok()?),
            Self::Date => match read_date(text) {
                Some(days) => Value::I32(i32::try_from(days).ok()?),
                None => within_32(i32::MIN, i32::MAX, 0)?,
            },
            Self::Timestamp(digits) => match read_time(text, digits) {
                Some(units) => Value::I64(units),
                None => within_64(i64::MIN, i64::MAX, 0)?,
            },
            Self::Int96 => Value::I96(read_int96(text)?),
            Self::Decimal32(scale, most) => within_32(most.wrapping_neg(), most, scale)?,
            Self::Decimal64(scale, most) => within_64(most.wrapping_neg(), most, scale)?,
            Self::Text => Value::Bytes(ByteArray::from(text)),
            Self::Bytes => Value::Bytes(hex::decode(text).ok()?.into()),
            Self::Fixed(length) => {
                let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == length)?;
                Value::Fixed(bytes.into())
            }
        })
    }
}

fn date(days: i64) -> Option<Date> {
    let date = Date::from_julian_day(i32::try_from(days.checked_add(EPOCH)?).ok()?).ok()?;
    (1000..=9999).contains(&date.year()).then_some(date)
}

fn write_date(date: Date, out: &mut Vec<u8>) {
    let written = write!(out, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day());
    debug_assert!(written.is_ok(), "memory takes everything");
}

fn read_date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month: u8 = month.parse().ok()?;
    let date =
        Date::from_calendar_date(year.parse().ok()?, month.try_into().ok()?, day.parse().ok()?)
            .ok()?;
    Some(i64::from(date.to_julian_day()) - EPOCH)
}

/// A moment, with as many decimals as it needs; as a plain number of units where no calendar has
/// it.
fn write_time(units: i64, digits: u32, out: &mut Vec<u8>) -> Kind {
    let per_second = 10_i64.pow(digits);
    if !write_moment(units.div_euclid(per_second), units.rem_euclid(per_second), digits, out) {
        out.extend_from_slice(units.to_string().as_bytes());
        return Kind::Number;
    }
    Kind::Text
}

/// False, and nothing is written, if no calendar has the moment.
fn write_moment(seconds: i64, fraction: i64, digits: u32, out: &mut Vec<u8>) -> bool {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let Some(moment) = moment.filter(|moment| (1000..=9999).contains(&moment.year())) else {
        return false;
    };
    write_date(moment.date(), out);
    let written =
        write!(out, "T{:02}:{:02}:{:02}", moment.hour(), moment.minute(), moment.second());
    debug_assert!(written.is_ok(), "memory takes everything");
    if fraction > 0 {
        let decimals = format!("{fraction:0width$}", width = digits as usize);
        out.push(b'.');
        out.extend_from_slice(decimals.trim_end_matches('0').as_bytes());
    }
    true
}

fn read_time(text: &str, digits: u32) -> Option<i64> {
    let (seconds, fraction) = read_moment(text, digits)?;
    let units = i128::from(seconds) * 10_i128.pow(digits) + i128::from(fraction);
    i64::try_from(units).ok()
}

/// The seconds since 1970, and the fraction in units of which a second has 10 to the power of
/// `digits`.
fn read_moment(text: &str, digits: u32) -> Option<(i64, i64)> {
    let (date, time) = text.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let seconds = read_date(date)? * 86_400 + hour * 3_600 + minute * 60 + second;
    let fraction = format!("{fraction:0<width$}", width = digits as usize);
    Some((seconds, fraction.get(..digits as usize)?.parse().ok()?))
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A moment, or the three numbers as hexadecimal digits where no calendar has it.
fn write_int96(value: &Int96, out: &mut Vec<u8>) -> Kind {
    let &[low, high, day] = value.data() else { return Kind::Missing };
    let nanos = i64::from(high) << 32 | i64::from(low);
    if (0..86_400 * NANOS_PER_SECOND).contains(&nanos) {
        let seconds = (i64::from(day) - EPOCH) * 86_400 + nanos / NANOS_PER_SECOND;
        if write_moment(seconds, nanos % NANOS_PER_SECOND, 9, out) {
            return Kind::Text;
        }
    }
    let written = write!(out, "{low:08x}{high:08x}{day:08x}");
    debug_assert!(written.is_ok(), "memory takes everything");
    Kind::Nested
}

fn read_int96(text: &str) -> Option<Int96> {
    let mut value = Int96::new();
    if let Some((seconds, fraction)) = read_moment(text, 9) {
        let nanos = u64::try_from(seconds.rem_euclid(86_400) * NANOS_PER_SECOND + fraction).ok()?;
        let day = u32::try_from(seconds.div_euclid(86_400) + EPOCH).ok()?;
        value.set_data(nanos as u32, (nanos >> 32) as u32, day);
        return Some(value);
    }
    let part = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok();
    if text.len() != 24 {
        return None;
    }
    value.set_data(part(0)?, part(8)?, part(16)?);
    Some(value)
}

fn write_decimal(units: i64, scale: u32, out: &mut Vec<u8>) -> std::io::Result<()> {
    if scale == 0 || scale > 18 {
        return write!(out, "{units}");
    }
    let one = 10_u64.pow(scale);
    let sign = if units < 0 { "-" } else { "" };
    let magnitude = units.unsigned_abs();
    write!(out, "{sign}{}.{:0width$}", magnitude / one, magnitude % one, width = scale as usize)
}

/// A number in units of which one has 10 to the power of `scale`, rounded to the nearest.
fn units(text: &str, scale: u32) -> Option<i128> {
    let scale = if scale > 18 { 0 } else { scale };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() <= 20 && fraction.len() <= scale as usize {
        let exact = format!("{whole}{fraction:0<width$}", width = scale as usize).parse::<u64>();
        if let Ok(exact) = exact {
            return Some(if text.starts_with('-') { -i128::from(exact) } else { exact.into() });
        }
    }
    let number = text.parse::<f64>().ok().filter(|number| !number.is_nan())?;
    Some((number * 10_f64.powi(scale as i32)).round() as i128)
}

/// How many units a decimal of this precision has at most.
fn units_max(precision: i32) -> i64 {
    let digits = u32::try_from(precision).unwrap_or(0).clamp(1, 18);
    10_i64.pow(digits) - 1
}

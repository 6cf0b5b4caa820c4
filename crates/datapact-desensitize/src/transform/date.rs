//! Dates in text, and what they are rounded down to.

use super::number::write_units;
use crate::rules::{DateStep, DayOrder};

/// A day, month or year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u16,
    /// 1 to 12; none if only the year was said.
    pub(crate) month: Option<u8>,
}

/// Reads `2024-05-17`, `2024/05/17`, `20240517`, `2024-05`, `2024`, `17.5.2024`, and `17/5/2024` or
/// `5-17-2024` where `order` says which of the two is meant; a time of day may follow behind a
/// space or `T`.
pub(crate) fn parse(bytes: &[u8], order: Option<DayOrder>) -> Option<Date> {
    let bytes = bytes.trim_ascii();
    // What most dates look like.
    if let (10, Some((year, rest))) = (bytes.len(), bytes.split_at_checked(4))
        && let [b'-', m1, m2, b'-', d1, d2] = rest
    {
        return valid(number(year)?, Some(number(&[*m1, *m2])?), Some(number(&[*d1, *d2])?));
    }
    let end =
        bytes.iter().position(|byte| matches!(byte, b' ' | b'T' | b't')).unwrap_or(bytes.len());
    let (date, time) = bytes.split_at_checked(end)?;
    if time.get(1..).unwrap_or_default().iter().any(|byte| !is_of_time(*byte)) {
        return None;
    }
    let separator = date.iter().copied().find(|byte| !byte.is_ascii_digit());
    let Some(separator) = separator else {
        return match date.len() {
            4 => valid(number(date)?, None, None),
            8 => valid(
                number(date.get(..4)?)?,
                Some(number(date.get(4..6)?)?),
                Some(number(date.get(6..)?)?),
            ),
            _ => None,
        };
    };
    if !b"-/.".contains(&separator) {
        return None;
    }
    let mut parts = date.split(|byte| *byte == separator);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    match (first.len(), third) {
        (4, None) => valid(number(first)?, Some(number(second)?), None),
        (4, Some(third)) => valid(number(first)?, Some(number(second)?), Some(number(third)?)),
        (1 | 2, Some(third)) if third.len() == 4 => {
            let order = if separator == b'.' { DayOrder::DayMonth } else { order? };
            let (first, second) = (number(first)?, number(second)?);
            let (day, month) = match order {
                DayOrder::DayMonth => (first, second),
                DayOrder::MonthDay => (second, first),
            };
            valid(number(third)?, Some(month), Some(day))
        }
        _ => None,
    }
}

fn is_of_time(byte: u8) -> bool {
    byte.is_ascii_digit() || b":.,+-Zz APMapm".contains(&byte)
}

fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
    })
}

fn valid(year: u16, month: Option<u16>, day: Option<u16>) -> Option<Date> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        Some(2) if leap => 29,
        Some(2) => 28,
        Some(4 | 6 | 9 | 11) => 30,
        _ => 31,
    };
    let good = (1000..=9999).contains(&year)
        && month.is_none_or(|month| (1..=12).contains(&month))
        && day.is_none_or(|day| (1..=days).contains(&day));
    good.then_some(Date { year, month: month.map(|month| month as u8) })
}

/// Appends the period that holds the date; false if the date does not tell it.
pub(crate) fn write(date: Date, step: DateStep, out: &mut Vec<u8>) -> bool {
    let year = i64::from(date.year);
    match (step, date.month) {
        (DateStep::Month, Some(month)) => {
            write_units(year, 0, b'.', out);
            out.extend_from_slice(&[b'-', b'0' + month / 10, b'0' + month % 10]);
        }
        (DateStep::Quarter, Some(month)) => {
            write_units(year, 0, b'.', out);
            out.extend_from_slice(&[b'-', b'Q', b'1' + (month - 1) / 3]);
        }
        (DateStep::Month | DateStep::Quarter, None) => return false,
        (DateStep::Year, _) => write_units(year, 0, b'.', out),
        (DateStep::Decade, _) => {
            write_units(year / 10 * 10, 0, b'.', out);
            out.push(b's');
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn month(text: &str, order: Option<DayOrder>) -> Option<String> {
        let mut out = Vec::new();
        write(parse(text.as_bytes(), order)?, DateStep::Month, &mut out)
            .then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn dates_are_read_where_only_one_day_can_be_meant() {
        for text in [
            "2024-05-17",
            "2024/5/17",
            "20240517",
            "2024-05",
            "17.05.2024",
            "2024-05-17T10:20:30Z",
            "2024-05-17 10:20",
        ] {
            assert_eq!(month(text, None).as_deref(), Some("2024-05"), "{text}");
        }
        assert_eq!(month("5/6/2024", None), None);
        assert_eq!(month("5/6/2024", Some(DayOrder::DayMonth)).as_deref(), Some("2024-06"));
        assert_eq!(month("5-6-2024", Some(DayOrder::MonthDay)).as_deref(), Some("2024-05"));
        for wrong in [
            "",
            "2024-13-01",
            "2023-02-29",
            "2024-02-30",
            "17.05.24",
            "soon",
            "2024-05-17 at noon",
            "1-2",
            "2024-05-1x",
            "0000-01-01",
        ] {
            assert_eq!(parse(wrong.as_bytes(), Some(DayOrder::DayMonth)), None, "{wrong}");
        }
    }

    #[test]
    fn dates_become_periods() {
        let period = |step| {
            let mut out = Vec::new();
            write(parse(b"2024-05-17", None).unwrap(), step, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(DateStep::ALL.map(period), ["2024-05", "2024-Q2", "2024", "2020s"]);
        assert!(!write(parse(b"2024", None).unwrap(), DateStep::Month, &mut Vec::new()));
    }
}

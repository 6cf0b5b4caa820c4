//! The dates of a column as a rule would read them.

use crate::rules::DayOrder;

/// The year of a date that is written in digits as a whole value, for judging a column; years of
/// two digits count as 1930 to 2029.
pub(super) fn year_of(value: &str) -> Option<u64> {
    let numbers: Vec<&str> =
        value.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let four = numbers.iter().find(|part| part.len() == 4).and_then(|part| part.parse().ok());
    let bare =
        numbers.first().filter(|part| part.len() == 8).and_then(|part| part.get(..4)?.parse().ok());
    let two = || {
        let last: u64 = numbers.get(2).filter(|part| part.len() == 2)?.parse().ok()?;
        Some(if last < 30 { 2000 + last } else { 1900 + last })
    };
    four.or(bare).or_else(two)
}

/// How a rule reads the dates of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Plain,
    /// If the rule file says which of day and month is first, as it does for this order.
    Ordered(DayOrder),
    /// They fit both orders.
    Either,
    /// They have names of months, or years of two digits.
    Unreadable,
}

/// How a rule reads these dates.
pub(super) fn form_of(values: &[&str]) -> Form {
    let (mut day_first, mut month_first, mut slashed, mut unreadable) =
        (0usize, 0usize, 0usize, 0usize);
    for value in values {
        let day = value.split([' ', 'T']).next().unwrap_or_default();
        let parts: Vec<&str> = day.split(['-', '.', '/']).collect();
        let digits = parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        match (digits, parts.as_slice()) {
            (true, [year, _, _]) if year.len() == 4 => {}
            (true, [_, _, year]) if year.len() == 4 && day.contains('.') => {}
            (true, [first, second, year]) if year.len() == 4 => {
                let above = |part: &str| part.parse::<u8>().is_ok_and(|number| number > 12);
                slashed += 1;
                day_first += usize::from(above(first));
                month_first += usize::from(above(second));
            }
            (true, [whole]) if whole.len() == 8 => {}
            _ => unreadable += 1,
        }
    }
    match (day_first, month_first) {
        _ if unreadable * 20 > values.len() => Form::Unreadable,
        _ if slashed == 0 => Form::Plain,
        (_, 0) if day_first > 0 => Form::Ordered(DayOrder::DayMonth),
        (0, _) if month_first > 0 => Form::Ordered(DayOrder::MonthDay),
        _ => Form::Either,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_days_and_months() {
        assert_eq!(
            form_of(&["2024-05-06", "06.05.2024", "20240506", "2024-05-06 10:00"]),
            Form::Plain
        );
        assert_eq!(form_of(&["5/6/2024", "31/12/2024"]), Form::Ordered(DayOrder::DayMonth));
        assert_eq!(form_of(&["5/6/2024", "12/31/2024"]), Form::Ordered(DayOrder::MonthDay));
        assert_eq!(form_of(&["5/6/2024"]), Form::Either);
        assert_eq!(form_of(&["31/12/2024", "12/31/2024"]), Form::Either);
        assert_eq!(form_of(&["5 June 2024"]), Form::Unreadable);
    }

    #[test]
    fn years_of_values() {
        assert_eq!(year_of("12.03.1985"), Some(1985));
        assert_eq!(year_of("19850312"), Some(1985));
        assert_eq!(year_of("3/12/85"), Some(1985));
        assert_eq!(year_of("x"), None);
    }
}

//! Eastern Europe.

use super::Check;
use super::checks::{digit, mod_11_10, number, short_date, uniform, weighted, yymmdd};

/// The checks of letters (capital) and digits without separators, by the identifier's code.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("pl-pesel", pl_pesel),
    ("cz-rc", cz_rc),
    ("hu-ado", |id| {
        digit(id, 0) == 8 && weighted(id, &[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11 == digit(id, 9)
    }),
    ("hu-taj", |id| weighted(id, &[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == digit(id, 8) && !uniform(id)),
    ("ro-cnp", |id| {
        let rest = weighted(id, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
        matches!(digit(id, 0), 1..=9)
            && yymmdd(id, 1)
            && matches!(number(id, 7, 2), 1..=48 | 51 | 52 | 70 | 80..=83)
            && (if rest == 10 { 1 } else { rest }) == digit(id, 12)
    }),
    ("bg-egn", |id| {
        let month = match number(id, 2, 2) {
            month @ 41.. => month - 40,
            month @ 21.. => month - 20,
            month => month,
        };
        short_date(number(id, 0, 2), month, number(id, 4, 2))
            && weighted(id, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == digit(id, 9)
    }),
    ("hr-oib", |id| mod_11_10(id) && !uniform(id)),
    ("rs-jmbg", rs_jmbg),
    ("ru-snils", |id| {
        let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
        u64::from(sum % 101 % 100) == number(id, 9, 2) && number(id, 0, 9) > 1_001_998
    }),
    ("ru-inn", |id| {
        weighted(id, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(id, 10)
            && weighted(id, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(id, 11)
            && !uniform(id)
    }),
    ("ua-rnokpp", |id| {
        // The first weight is -1, which is 10 modulo 11.
        weighted(id, &[10, 5, 7, 9, 4, 6, 10, 5, 7]) % 11 % 10 == digit(id, 9) && !uniform(id)
    }),
];

/// Act on the population register: the century is in the month; weights 1, 3, 7, 9.
fn pl_pesel(id: &[u8]) -> bool {
    let sum = weighted(id, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let month = number(id, 2, 2);
    short_date(number(id, 0, 2), month % 20, number(id, 4, 2)) && sum.is_multiple_of(10)
}

/// Act 133/2000: women's months are 50 more, either 20 more when the numbers of a day run out;
/// divisible by 11.
fn cz_rc(id: &[u8]) -> bool {
    let month = match number(id, 2, 2) {
        month @ 71.. => month - 70,
        month @ 51.. => month - 50,
        month @ 21.. => month - 20,
        month => month,
    };
    let dated = short_date(number(id, 0, 2), month, number(id, 4, 2));
    if id.len() == 9 {
        return dated && number(id, 0, 2) < 54 && number(id, 6, 3) != 0;
    }
    let (body, check) = (number(id, 0, 9), number(id, 9, 1));
    dated && (body % 11 == check || body % 11 == 10 && check == 0)
}

fn rs_jmbg(id: &[u8]) -> bool {
    let sum = weighted(id, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    let check = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
    // The year has three digits: 985 is 1985, 004 is 2004.
    let year = number(id, 4, 3);
    !(100..850).contains(&year)
        && short_date(year % 100, number(id, 2, 2), number(id, 0, 2))
        && check == digit(id, 12)
        && sum % 11 != 1
}

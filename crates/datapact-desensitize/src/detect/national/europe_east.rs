//! Eastern Europe.

use super::Scheme;
use super::checks::{digit, mod_11_10, number, short_date, uniform, weighted, yymmdd};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        code: "pl-pesel",
        name: "PESEL (Poland)",
        words: &["pesel"],
        forms: &[("99999999999", 0.6)],
        chance: 0.02,
        check: pl_pesel,
    },
    Scheme {
        code: "cz-rc",
        name: "Rodné číslo (Czechia, Slovakia)",
        words: &["rodne cislo", "r.c.", "rodne"],
        forms: &[("999999/9999", 0.93), ("9999999999", 0.35), ("999999/999", 0.6)],
        chance: 0.006,
        check: cz_rc,
    },
    Scheme {
        code: "hu-ado",
        name: "Adóazonosító jel (Hungary)",
        words: &["adoazonosito", "adoszam"],
        forms: &[("9999999999", 0.3)],
        chance: 0.01,
        check: |id| {
            digit(id, 0) == 8 && weighted(id, &[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11 == digit(id, 9)
        },
    },
    Scheme {
        code: "hu-taj",
        name: "TAJ number (Hungary)",
        words: &["taj", "tajszam"],
        forms: &[("999~999~999", 0.5), ("999999999", 0.2)],
        chance: 0.1,
        check: |id| weighted(id, &[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == digit(id, 8) && !uniform(id),
    },
    Scheme {
        code: "ro-cnp",
        name: "Cod numeric personal (Romania)",
        words: &["cnp", "cod numeric"],
        forms: &[("9999999999999", 0.85)],
        chance: 0.002,
        check: |id| {
            let rest = weighted(id, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
            matches!(digit(id, 0), 1..=9)
                && yymmdd(id, 1)
                && matches!(number(id, 7, 2), 1..=48 | 51 | 52 | 70 | 80..=83)
                && (if rest == 10 { 1 } else { rest }) == digit(id, 12)
        },
    },
    Scheme {
        code: "bg-egn",
        name: "EGN, uniform civil number (Bulgaria)",
        words: &["егн", "egn", "единен граждански"],
        forms: &[("9999999999", 0.45)],
        chance: 0.01,
        check: |id| {
            let month = match number(id, 2, 2) {
                month @ 41.. => month - 40,
                month @ 21.. => month - 20,
                month => month,
            };
            short_date(number(id, 0, 2), month, number(id, 4, 2))
                && weighted(id, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == digit(id, 9)
        },
    },
    Scheme {
        code: "hr-oib",
        name: "OIB (Croatia)",
        words: &["oib", "osobni identifikacijski"],
        forms: &[("99999999999", 0.25)],
        chance: 0.1,
        check: |id| mod_11_10(id) && !uniform(id),
    },
    Scheme {
        code: "rs-jmbg",
        name: "JMBG or EMŠO (Serbia, Slovenia, Bosnia and Herzegovina, North Macedonia, Montenegro)",
        words: &["jmbg", "emso", "јмбг", "maticni broj"],
        forms: &[("9999999999999", 0.8)],
        chance: 0.002,
        check: rs_jmbg,
    },
    Scheme {
        code: "ru-snils",
        name: "SNILS (Russia)",
        words: &["снилс", "snils", "страховой номер"],
        forms: &[("999-999-999 99", 0.95), ("999-999-999-99", 0.9), ("99999999999", 0.35)],
        chance: 0.01,
        check: |id| {
            let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
            u64::from(sum % 101 % 100) == number(id, 9, 2) && number(id, 0, 9) > 1_001_998
        },
    },
    Scheme {
        code: "ru-inn",
        name: "INN of a person (Russia)",
        words: &["инн", "inn"],
        forms: &[("999999999999", 0.55)],
        chance: 0.01,
        check: |id| {
            weighted(id, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(id, 10)
                && weighted(id, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(id, 11)
                && !uniform(id)
        },
    },
    Scheme {
        code: "ua-rnokpp",
        name: "RNOKPP, registration number of a taxpayer (Ukraine)",
        words: &["рнокпп", "ідентифікаційний", "инн", "іпн"],
        forms: &[("9999999999", 0.25)],
        chance: 0.1,
        check: |id| {
            // The first weight is -1, which is 10 modulo 11.
            weighted(id, &[10, 5, 7, 9, 4, 6, 10, 5, 7]) % 11 % 10 == digit(id, 9) && !uniform(id)
        },
    },
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

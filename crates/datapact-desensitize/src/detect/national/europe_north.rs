//! The Nordic and Baltic countries, Great Britain and Ireland.

use super::Scheme;
use super::checks::{ddmmyy, digit, luhn, number, short_date, uniform, weighted, yymmdd, yyyymmdd};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        code: "gb-nhs",
        name: "NHS number (England, Wales)",
        words: &["nhs", "health service"],
        forms: &[("999 999 9999", 0.75), ("999-999-9999", 0.5), ("9999999999", 0.3)],
        chance: 0.09,
        check: |id| {
            let sum = weighted(id, &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
            (11 - sum % 11) % 11 == digit(id, 9) && !uniform(id)
        },
    },
    Scheme {
        code: "gb-nino",
        name: "National Insurance number (United Kingdom)",
        words: &["national insurance", "nino", "ni number", "ni no", "insurance number"],
        forms: &[("AA_99_99_99_A", 0.9), ("AA~999999~A", 0.85)],
        chance: 0.05,
        check: gb_nino,
    },
    Scheme {
        code: "ie-pps",
        name: "Personal Public Service number (Ireland)",
        words: &["pps", "ppsn", "public service"],
        forms: &[("9999999A", 0.7), ("9999999AA", 0.75), ("9999999~A", 0.5)],
        chance: 0.04,
        check: ie_pps,
    },
    Scheme {
        code: "se-personnummer",
        name: "Personnummer or samordningsnummer (Sweden)",
        words: &["personnummer", "personnr", "samordningsnummer", "person nr", "pnr"],
        forms: &[
            ("999999-9999", 0.85),
            ("999999+9999", 0.95),
            ("99999999-9999", 0.95),
            ("999999999999", 0.65),
            ("9999999999", 0.3),
        ],
        chance: 0.02,
        check: se_personnummer,
    },
    Scheme {
        code: "no-fodselsnummer",
        name: "Fødselsnummer or D-number (Norway)",
        words: &["fodselsnummer", "fodselsnr", "fnr", "personnummer", "d-nummer"],
        forms: &[("99999999999", 0.8), ("999999~99999", 0.9)],
        chance: 0.001,
        check: no_fodselsnummer,
    },
    Scheme {
        code: "dk-cpr",
        name: "CPR number (Denmark)",
        words: &["cpr", "personnummer", "cpr-nr"],
        forms: &[("999999-9999", 0.7), ("999999 9999", 0.3), ("9999999999", 0.2)],
        chance: 0.04,
        // Since 2007 numbers are given that do not pass the old check.
        check: |id| ddmmyy(id, 0) && number(id, 6, 4) != 0,
    },
    Scheme {
        code: "fi-hetu",
        name: "Henkilötunnus (Finland)",
        words: &["henkilotunnus", "hetu", "personbeteckning"],
        forms: &[("999999?999X", 0.95)],
        chance: 0.005,
        check: fi_hetu,
    },
    Scheme {
        code: "is-kennitala",
        name: "Kennitala (Iceland)",
        words: &["kennitala", "kt."],
        forms: &[("999999-9999", 0.85), ("9999999999", 0.4)],
        chance: 0.003,
        check: |id| {
            let sum = weighted(id, &[3, 2, 7, 6, 5, 4, 3, 2]);
            ddmmyy(id, 0)
                && (11 - sum % 11) % 11 == digit(id, 8)
                && matches!(digit(id, 9), 0 | 8 | 9)
        },
    },
    Scheme {
        code: "ee-isikukood",
        name: "Isikukood (Estonia)",
        words: &["isikukood", "ik"],
        forms: &[("99999999999", 0.6)],
        chance: 0.02,
        check: baltic,
    },
    Scheme {
        code: "lt-asmens-kodas",
        name: "Asmens kodas (Lithuania)",
        words: &["asmens kodas", "a.k."],
        forms: &[("99999999999", 0.59)],
        chance: 0.02,
        check: baltic,
    },
    Scheme {
        code: "lv-personas-kods",
        name: "Personas kods (Latvia)",
        words: &["personas kods", "p.k."],
        forms: &[("999999-99999", 0.85), ("99999999999", 0.3)],
        chance: 0.01,
        check: lv_personas_kods,
    },
];

/// HM Revenue and Customs, NIM39110: prefixes that are never used.
fn gb_nino(id: &[u8]) -> bool {
    let (Some(first), Some(second), Some(suffix)) = (id.first(), id.get(1), id.get(8)) else {
        return false;
    };
    let unused = matches!(
        (first, second),
        (b'B', b'G')
            | (b'G', b'B')
            | (b'K', b'N')
            | (b'N', b'K' | b'T')
            | (b'T', b'N')
            | (b'Z', b'Z')
    );
    !matches!(first, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        && !matches!(second, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
        && !unused
        && matches!(suffix, b'A'..=b'D')
}

fn ie_pps(id: &[u8]) -> bool {
    let second = id.get(8).map_or(0, |letter| {
        if matches!(letter, b'T' | b'W' | b'X') { 0 } else { u32::from(letter.wrapping_sub(b'@')) }
    });
    let sum = weighted(id, &[8, 7, 6, 5, 4, 3, 2]) + second * 9;
    let check = if sum.is_multiple_of(23) { b'W' } else { b'@' + (sum % 23) as u8 };
    id.get(7) == Some(&check) && matches!(id.get(8), None | Some(b'A'..=b'I' | b'T' | b'W' | b'X'))
}

/// Skatteverket, SKV 704: Luhn over the last ten digits; a coordination number's day is 60 more.
fn se_personnummer(id: &[u8]) -> bool {
    let short = id.get(id.len().saturating_sub(10)..).unwrap_or_default();
    let day = number(short, 4, 2);
    let mut plain = id.to_vec();
    if let (61..=91, Some(tens)) = (day, plain.iter_mut().rev().nth(5)) {
        *tens -= 6;
    }
    let dated = if id.len() == 12 { yyyymmdd(&plain, 0) } else { yymmdd(&plain, 0) };
    dated && luhn(short) && number(short, 6, 3) != 0
}

/// Skatteetaten: two check digits modulo 11. D-numbers add 40 to the day, H-numbers 40 and
/// synthetic ones 80 to the month.
fn no_fodselsnummer(id: &[u8]) -> bool {
    let (day, month) = (number(id, 0, 2), number(id, 2, 2));
    let day = if day > 40 { day - 40 } else { day };
    let month = match month {
        81.. => month - 80,
        41.. => month - 40,
        _ => month,
    };
    let check = |weights: &[u32]| (11 - weighted(id, weights) % 11) % 11;
    short_date(number(id, 4, 2), month, day)
        && check(&[3, 7, 6, 1, 8, 9, 4, 5, 2]) == digit(id, 9)
        && check(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == digit(id, 10)
}

fn fi_hetu(id: &[u8]) -> bool {
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY"
        .get((number(id, 0, 6) * 1000 + number(id, 7, 3)) as usize % 31);
    ddmmyy(id, 0) && number(id, 7, 3) >= 2 && id.get(10) == check
}

/// Sex and century, year, month, day, serial number, and a check digit modulo 11 in two stages.
fn baltic(id: &[u8]) -> bool {
    let check = match weighted(id, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11 {
        10 => weighted(id, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        value => value,
    };
    matches!(digit(id, 0), 1..=8) && yymmdd(id, 1) && check == digit(id, 10)
}

/// Numbers since July 2017 start with 32 and say nothing of a birth; older ones start with its
/// date.
fn lv_personas_kods(id: &[u8]) -> bool {
    let sum = weighted(id, &[1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let dated = ddmmyy(id, 0) && digit(id, 6) <= 2;
    (dated || number(id, 0, 2) == 32) && (1101 - sum) % 11 % 10 == digit(id, 10)
}

//! Western and southern Europe.

use super::Scheme;
use super::checks::{ddmmyy, digit, mod_11_10, number, short_date, uniform, weighted, yymmdd};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        code: "de-steuer-id",
        name: "Steuerliche Identifikationsnummer (Germany)",
        words: &[
            "steuer-id",
            "steuer id",
            "steueridentifikation",
            "idnr",
            "identifikationsnummer",
            "tax id",
            "tin",
        ],
        forms: &[("99999999999", 0.6), ("99~999~999~999", 0.85)],
        chance: 0.02,
        check: de_steuer_id,
    },
    Scheme {
        code: "de-rvnr",
        name: "Rentenversicherungsnummer (Germany)",
        words: &["rentenversicherung", "sozialversicherung", "rvnr", "svnr", "sv-nummer"],
        forms: &[("99_999999_A_999", 0.93), ("99_999999_A_99_9", 0.93)],
        chance: 0.02,
        check: de_rvnr,
    },
    Scheme {
        code: "at-svnr",
        name: "Sozialversicherungsnummer (Austria)",
        words: &["sozialversicherung", "svnr", "sv-nummer"],
        forms: &[("9999~999999", 0.75), ("9999999999", 0.35)],
        chance: 0.004,
        check: |id| {
            let check = weighted(id, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
            // Where no day is known, the month is 13 or more.
            digit(id, 0) != 0
                && check == digit(id, 3)
                && (ddmmyy(id, 4)
                    || (matches!(number(id, 6, 2), 13..=15) && number(id, 4, 2) <= 31))
        },
    },
    Scheme {
        code: "ch-ahv",
        name: "AHV number (Switzerland)",
        words: &["ahv", "avs", "sozialversicherung"],
        forms: &[("999.9999.9999.99", 0.98), ("999~9999~9999~99", 0.95), ("9999999999999", 0.9)],
        chance: 0.0001,
        check: |id| {
            let sum = weighted(id, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
            number(id, 0, 3) == 756 && sum.is_multiple_of(10)
        },
    },
    Scheme {
        code: "fr-nir",
        name: "Numéro de sécurité sociale, NIR (France)",
        words: &["securite sociale", "nir", "insee", "secu"],
        forms: &[
            ("9_99_99_9X_999_999_99", 0.9),
            ("9 99 99 9X 999 999  99", 0.9),
            ("999999X99999999", 0.9),
        ],
        chance: 0.002,
        check: fr_nir,
    },
    Scheme {
        code: "be-nrn",
        name: "National register number (Belgium)",
        words: &["rijksregister", "registre national", "nationalregister", "nrn", "niss", "insz"],
        forms: &[
            ("99.99.99-999.99", 0.97),
            ("999999-999-99", 0.9),
            ("999999 999 99", 0.85),
            ("99999999999", 0.65),
        ],
        chance: 0.004,
        check: be_nrn,
    },
    Scheme {
        code: "nl-bsn",
        name: "Burgerservicenummer (Netherlands)",
        words: &["bsn", "burgerservice", "sofi", "sofinummer"],
        forms: &[
            ("9999.99.999", 0.8),
            ("9999~99~999", 0.65),
            ("999~999~999", 0.3),
            ("999999999", 0.25),
        ],
        chance: 0.09,
        check: |id| {
            let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2]);
            sum % 11 == digit(id, 8) && !uniform(id)
        },
    },
    Scheme {
        code: "es-dni",
        name: "DNI, NIF of a person (Spain)",
        words: &["dni", "nif", "d.n.i", "n.i.f"],
        forms: &[
            ("99999999A", 0.8),
            ("99999999~A", 0.85),
            ("99.999.999-A", 0.97),
            ("99.999.999A", 0.95),
            ("9999999A", 0.2),
        ],
        chance: 0.04,
        check: |id| {
            let Some((letter, digits)) = id.split_last() else { return false };
            es_letter(number(id, 0, digits.len())) == Some(letter)
        },
    },
    Scheme {
        code: "es-nie",
        name: "NIE, Número de Identidad de Extranjero (Spain)",
        words: &["nie", "n.i.e", "extranjero"],
        forms: &[("A_9999999_A", 0.9), ("A-9.999.999-A", 0.95)],
        chance: 0.005,
        check: |id| {
            let first = match id.first() {
                Some(b'X') => 0,
                Some(b'Y') => 1,
                Some(b'Z') => 2,
                _ => return false,
            };
            es_letter(first * 10_000_000 + number(id, 1, 7)) == id.get(8)
        },
    },
    Scheme {
        code: "pt-nif",
        name: "Número de Identificação Fiscal (Portugal)",
        words: &["nif", "contribuinte", "identificacao fiscal"],
        forms: &[("999~999~999", 0.3), ("999999999", 0.2)],
        chance: 0.05,
        check: |id| {
            let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2]);
            let check = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
            matches!(digit(id, 0), 1..=4) && check == digit(id, 8)
        },
    },
    Scheme {
        code: "it-codice-fiscale",
        name: "Codice fiscale (Italy)",
        words: &["codice fiscale", "cod. fisc", "fiscale", "cf", "c.f"],
        forms: &[("AAAAAAXXAXXAXXXA", 0.98), ("AAA~AAA~XXAXX~AXXXA", 0.98)],
        chance: 0.001,
        check: it_codice_fiscale,
    },
    Scheme {
        code: "gr-amka",
        name: "AMKA, social security number (Greece)",
        words: &["αμκα", "amka"],
        forms: &[("99999999999", 0.45)],
        chance: 0.004,
        check: |id| ddmmyy(id, 0) && super::checks::luhn(id),
    },
    Scheme {
        code: "gr-afm",
        name: "AFM, tax number (Greece)",
        words: &["αφμ", "α.φ.μ", "afm"],
        forms: &[("999999999", 0.2)],
        chance: 0.1,
        check: |id| {
            weighted(id, &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == digit(id, 8) && !uniform(id)
        },
    },
];

/// Federal Central Tax Office: among the first ten digits exactly one occurs twice or three times,
/// then MOD 11,10.
fn de_steuer_id(id: &[u8]) -> bool {
    let mut counts = [0u8; 10];
    for index in 0..10 {
        if let Some(count) = counts.get_mut(digit(id, index) as usize) {
            *count += 1;
        }
    }
    let repeated: Vec<u8> = counts.into_iter().filter(|count| *count > 1).collect();
    let in_a_row = id.windows(3).take(8).any(uniform);
    digit(id, 0) != 0 && matches!(*repeated, [2] | [3]) && !in_a_row && mod_11_10(id)
}

/// Area, date of birth, first letter of the name at birth, serial number, check digit (VKVV § 4).
fn de_rvnr(id: &[u8]) -> bool {
    let Some(letter) = id.get(8).filter(|letter| letter.is_ascii_uppercase()) else { return false };
    let place = letter - b'@';
    let mut digits = Vec::with_capacity(13);
    digits.extend(id.iter().take(8));
    digits.extend([b'0' + place / 10, b'0' + place % 10]);
    digits.extend(id.iter().skip(9));
    let sum: u32 = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]
        .iter()
        .enumerate()
        .map(|(index, weight)| digit(&digits, index) * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    let day = number(id, 2, 2);
    // A day of 50 and more tells apart people with equal numbers.
    let day = if day > 50 { day - 50 } else { day };
    short_date(number(id, 6, 2), number(id, 4, 2), day) && sum % 10 == digit(&digits, 12)
}

/// INSEE: sex, year, month, place of birth, serial number, and 97 minus the rest modulo 97.
fn fr_nir(id: &[u8]) -> bool {
    let mut plain = id.to_vec();
    let less = match id.get(6) {
        Some(b'A') => 1_000_000,
        Some(b'B') => 2_000_000,
        Some(b'0'..=b'9') => 0,
        _ => return false,
    };
    if less > 0 && digit(id, 5) != 2 {
        return false;
    }
    if let Some(letter) = plain.get_mut(6).filter(|letter| !letter.is_ascii_digit()) {
        *letter = b'0';
    }
    let Some(body) = number(&plain, 0, 13).checked_sub(less) else { return false };
    matches!(digit(id, 0), 1..=4 | 7 | 8)
        && matches!(number(id, 3, 2), 1..=12 | 20..=42 | 50..=99)
        && 97 - body % 97 == number(id, 13, 2)
}

fn be_nrn(id: &[u8]) -> bool {
    let (body, check) = (number(id, 0, 9), number(id, 9, 2));
    // Month and day may be unknown; numbers of people without a register entry add 20 or 40 to the
    // month.
    let month = number(id, 2, 2) % 20;
    let dated =
        (month == 0 && number(id, 4, 2) <= 31) || month <= 12 && yymmdd_with_month(id, month);
    dated
        && number(id, 6, 3) != 0
        && (97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check)
}

fn yymmdd_with_month(id: &[u8], month: u64) -> bool {
    yymmdd(id, 0) || short_date(number(id, 0, 2), month, number(id, 4, 2))
}

fn es_letter(number: u64) -> Option<&'static u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get((number % 23) as usize)
}

/// Ministerial decree of 23 December 1976; letters stand for digits where two people would have the
/// same code.
fn it_codice_fiscale(id: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let plain = |byte: u8| match byte {
        b'L' => b'0',
        b'M' => b'1',
        b'N' => b'2',
        b'P' => b'3',
        b'Q' => b'4',
        b'R' => b'5',
        b'S' => b'6',
        b'T' => b'7',
        b'U' => b'8',
        b'V' => b'9',
        other => other,
    };
    let mut digits = Vec::with_capacity(7);
    for index in [6, 7, 9, 10, 12, 13, 14] {
        digits.extend(id.get(index).map(|byte| plain(*byte)).filter(u8::is_ascii_digit));
    }
    let value = |byte: u8| {
        if byte.is_ascii_digit() { u32::from(byte - b'0') } else { u32::from(byte - b'A') }
    };
    let sum: u32 = id
        .iter()
        .take(15)
        .enumerate()
        .map(|(index, byte)| {
            if index % 2 == 0 {
                ODD.get(value(*byte) as usize).copied().unwrap_or(0)
            } else {
                value(*byte)
            }
        })
        .sum();
    let day = number(&digits, 2, 2);
    digits.len() == 7
        && id.get(8).is_some_and(|month| b"ABCDEHLMPRST".contains(month))
        && matches!(day, 1..=31 | 41..=71)
        && id.get(15).map(|check| u32::from(check - b'A')) == Some(sum % 26)
}

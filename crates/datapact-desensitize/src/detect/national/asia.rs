//! Asia, Africa and Oceania.

use super::Scheme;
use super::checks::{
    digit, luhn, number, short_date, uniform, verhoeff, weighted, yymmdd, yyyymmdd,
};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        code: "in-aadhaar",
        name: "Aadhaar (India)",
        words: &["aadhaar", "aadhar", "uidai", "आधार"],
        forms: &[("9999~9999~9999", 0.8), ("999999999999", 0.3)],
        chance: 0.08,
        check: |id| digit(id, 0) >= 2 && verhoeff(id) && !uniform(id),
    },
    Scheme {
        code: "in-pan",
        name: "Permanent Account Number (India)",
        words: &["pan", "permanent account"],
        forms: &[("AAAAA9999A", 0.8)],
        chance: 0.3,
        check: |id| {
            matches!(id.get(3), Some(b'A'..=b'C' | b'F'..=b'H' | b'J' | b'L' | b'P' | b'T' | b'K'))
                && number(id, 5, 4) != 0
        },
    },
    Scheme {
        code: "cn-ric",
        name: "Resident Identity Card (China)",
        words: &["身份证", "身份证号", "resident id", "公民身份号码", "sfz"],
        forms: &[("99999999999999999X", 0.97), ("999999~99999999~999X", 0.97)],
        chance: 0.001,
        check: cn_ric,
    },
    Scheme {
        code: "tw-id",
        name: "National Identification Card (Taiwan)",
        words: &["身分證", "national id"],
        forms: &[("A999999999", 0.8)],
        chance: 0.04,
        check: tw_id,
    },
    Scheme {
        code: "hk-id",
        name: "Identity Card (Hong Kong)",
        words: &["hkid", "身份證", "identity card"],
        forms: &[
            ("A999999(X)", 0.95),
            ("AA999999(X)", 0.95),
            ("A999999X", 0.3),
            ("AA999999X", 0.3),
        ],
        chance: 0.09,
        check: hk_id,
    },
    Scheme {
        code: "kr-rrn",
        name: "Resident Registration Number (South Korea)",
        words: &["주민등록번호", "주민번호", "주민", "resident registration", "rrn"],
        forms: &[("999999-9999999", 0.8), ("9999999999999", 0.35)],
        chance: 0.03,
        // Numbers given since October 2020 end in chance, so that the check digit proves nothing
        // any more.
        check: |id| yymmdd(id, 0) && matches!(digit(id, 6), 1..=8),
    },
    Scheme {
        code: "jp-my-number",
        name: "Individual Number, My Number (Japan)",
        words: &["マイナンバー", "個人番号", "my number"],
        forms: &[("9999~9999~9999", 0.4), ("999999999999", 0.15)],
        chance: 0.1,
        check: jp_my_number,
    },
    Scheme {
        code: "th-id",
        name: "National Identification Number (Thailand)",
        words: &["บัตรประชาชน", "เลขประจำตัวประชาชน", "thai id"],
        forms: &[("9-9999-99999-99-9", 0.97), ("9~9999~99999~99~9", 0.9), ("9999999999999", 0.4)],
        chance: 0.08,
        check: |id| {
            let sum = weighted(id, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
            digit(id, 0) != 0 && (11 - sum % 11) % 10 == digit(id, 12) && !uniform(id)
        },
    },
    Scheme {
        code: "sg-nric",
        name: "NRIC or FIN (Singapore)",
        words: &["nric", "fin"],
        forms: &[("A9999999A", 0.9)],
        chance: 0.04,
        check: sg_nric,
    },
    Scheme {
        code: "my-nric",
        name: "MyKad number (Malaysia)",
        words: &["mykad", "nric", "kad pengenalan", "no. kp"],
        forms: &[("999999-99-9999", 0.75), ("999999999999", 0.15)],
        chance: 0.03,
        check: |id| {
            yymmdd(id, 0)
                && !matches!(number(id, 6, 2), 0 | 17..=20 | 69 | 70 | 73 | 80 | 81 | 94..=97)
        },
    },
    Scheme {
        code: "id-nik",
        name: "Nomor Induk Kependudukan (Indonesia)",
        words: &["nik", "ktp", "kependudukan"],
        forms: &[("9999999999999999", 0.5)],
        chance: 0.03,
        check: id_nik,
    },
    Scheme {
        code: "pk-cnic",
        name: "Computerised National Identity Card (Pakistan)",
        words: &["cnic", "nadra"],
        forms: &[("99999-9999999-9", 0.75), ("9999999999999", 0.05)],
        chance: 0.6,
        check: |id| matches!(digit(id, 0), 1..=7) && !uniform(id),
    },
    Scheme {
        code: "il-id",
        name: "Identity number (Israel)",
        words: &["תעודת זהות", "teudat zehut", "ת.ז"],
        forms: &[("99999999-9", 0.5), ("999999999", 0.15)],
        chance: 0.1,
        check: |id| luhn(id) && !uniform(id),
    },
    Scheme {
        code: "tr-tckn",
        name: "Kimlik number (Turkey)",
        words: &["tckn", "kimlik", "tc no", "t.c."],
        forms: &[("99999999999", 0.61)],
        chance: 0.01,
        check: tr_tckn,
    },
    Scheme {
        code: "kz-iin",
        name: "Individual Identification Number (Kazakhstan)",
        words: &["иин", "жсн", "iin"],
        forms: &[("999999999999", 0.35)],
        chance: 0.02,
        check: kz_iin,
    },
    Scheme {
        code: "za-id",
        name: "Identity number (South Africa)",
        words: &["id number", "identity number", "sa id", "rsa id"],
        forms: &[("9999999999999", 0.65), ("999999~9999~99~9", 0.85), ("999999~9999~999", 0.85)],
        chance: 0.007,
        check: |id| yymmdd(id, 0) && digit(id, 10) <= 2 && luhn(id),
    },
    Scheme {
        code: "au-tfn",
        name: "Tax File Number (Australia)",
        words: &["tfn", "tax file"],
        forms: &[("999~999~999", 0.5), ("999999999", 0.2)],
        chance: 0.09,
        check: |id| weighted(id, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11) && !uniform(id),
    },
    Scheme {
        code: "au-medicare",
        name: "Medicare number (Australia)",
        words: &["medicare"],
        forms: &[("9999~99999~9", 0.85), ("9999999999", 0.25)],
        chance: 0.05,
        check: |id| {
            matches!(digit(id, 0), 2..=6)
                && weighted(id, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit(id, 8)
                && digit(id, 9) != 0
        },
    },
    Scheme {
        code: "nz-ird",
        name: "IRD number (New Zealand)",
        words: &["ird"],
        forms: &[("99-999-999", 0.5), ("999-999-999", 0.5), ("999999999", 0.15)],
        chance: 0.09,
        check: nz_ird,
    },
];

/// GB 11643: ISO/IEC 7064 MOD 11-2 over region, date of birth and serial number.
fn cn_ric(id: &[u8]) -> bool {
    let sum = weighted(id, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let check = b"10X98765432".get(sum as usize % 11);
    matches!(digit(id, 0), 1..=8) && digit(id, 1) != 0 && yyyymmdd(id, 6) && id.get(17) == check
}

fn tw_id(id: &[u8]) -> bool {
    // The order in which the letters were given out.
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let Some(place) =
        id.first().and_then(|first| LETTERS.iter().position(|letter| letter == first))
    else {
        return false;
    };
    let letter = place as u32 + 10;
    let body: u32 = (1..=8).map(|index| digit(id, index) * (9 - index as u32)).sum();
    matches!(digit(id, 1), 1 | 2 | 8 | 9)
        && (letter / 10 + letter % 10 * 9 + body + digit(id, 9)).is_multiple_of(10)
}

fn hk_id(id: &[u8]) -> bool {
    let Some((check, body)) = id.split_last() else { return false };
    let value = |byte: u8| {
        if byte.is_ascii_digit() { u32::from(byte - b'0') } else { u32::from(byte - b'A') + 10 }
    };
    // A single letter is preceded by a space, whose value is 36.
    let blank = if body.len() == 7 { 36 * 9 } else { 0 };
    let sum: u32 =
        body.iter().rev().zip(2..).map(|(byte, weight)| value(*byte) * weight).sum::<u32>() + blank;
    let expected = match (11 - sum % 11) % 11 {
        10 => b'A',
        digit => b'0' + digit as u8,
    };
    *check == expected
}

fn jp_my_number(id: &[u8]) -> bool {
    let sum = weighted(id, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    let check = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
    check == digit(id, 11) && !uniform(id)
}

fn sg_nric(id: &[u8]) -> bool {
    let sum: u32 = [2, 7, 6, 5, 4, 3, 2]
        .iter()
        .zip(1..)
        .map(|(weight, index)| weight * digit(id, index))
        .sum();
    let (table, shift): (&[u8], u32) = match id.first() {
        Some(b'S') => (b"JZIHGFEDCBA", 0),
        Some(b'T') => (b"JZIHGFEDCBA", 4),
        Some(b'F') => (b"XWUTRQPNMLK", 0),
        Some(b'G') => (b"XWUTRQPNMLK", 4),
        Some(b'M') => (b"XWUTRQPNJLK", 3),
        _ => return false,
    };
    table.get((sum + shift) as usize % 11) == id.get(8)
}

fn id_nik(id: &[u8]) -> bool {
    let day = number(id, 6, 2);
    let day = if day > 40 { day - 40 } else { day };
    matches!(number(id, 0, 2), 11..=21 | 31..=36 | 51..=53 | 61..=65 | 71..=76 | 81 | 82 | 91..=97)
        && short_date(number(id, 10, 2), number(id, 8, 2), day)
        && number(id, 12, 4) != 0
}

fn tr_tckn(id: &[u8]) -> bool {
    let odd: u32 = (0..9).step_by(2).map(|index| digit(id, index)).sum();
    let even: u32 = (1..8).step_by(2).map(|index| digit(id, index)).sum();
    let tenth = (odd * 7 + 90 - even) % 10;
    let eleventh = (odd + even + digit(id, 9)) % 10;
    digit(id, 0) != 0 && tenth == digit(id, 9) && eleventh == digit(id, 10)
}

fn kz_iin(id: &[u8]) -> bool {
    let first = weighted(id, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) % 11;
    let check =
        if first == 10 { weighted(id, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2]) % 11 } else { first };
    yymmdd(id, 0) && matches!(digit(id, 6), 1..=6) && check == digit(id, 11)
}

fn nz_ird(id: &[u8]) -> bool {
    let mut padded = [b'0'; 9];
    for (to, from) in padded.iter_mut().rev().zip(id.iter().rev()) {
        *to = *from;
    }
    let check = |weights: &[u32]| (11 - weighted(&padded, weights) % 11) % 11;
    let first = check(&[3, 2, 7, 6, 5, 4, 3, 2]);
    let last = if first == 10 { check(&[7, 4, 3, 2, 5, 2, 7, 6]) } else { first };
    (10_000_000..150_000_000).contains(&number(&padded, 0, 9)) && last == digit(&padded, 8)
}

//! International Bank Account Numbers (ISO 13616).

use super::context::Context;
use super::fold::{Folded, at, is_word, starts_at};
use super::{Candidate, Entity};

/// The lengths of the IBAN registry (ISO 13616, SWIFT) and of countries that use the format outside
/// of it: each entry a country (ISO 3166-1) and how many characters its numbers have.
const LENGTHS: &str = "\
    AD24 AE23 AL28 AO25 AT20 AZ28 BA20 BE16 BF28 BG22 BH22 BI27 BJ28 BR29 BY28 CF27 CG27 CH21 \
    CI28 CM27 CR22 CV25 CY28 CZ24 DE22 DJ27 DK18 DO28 DZ26 EE20 EG29 ES24 FI18 FK18 FO18 FR27 \
    GA27 GB22 GE22 GI23 GL18 GQ27 GR27 GT28 GW25 HN28 HR21 HU28 IE22 IL23 IQ23 IR26 IS26 IT27 \
    JO30 KM27 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MA28 MC27 MD24 ME22 MG27 MK19 ML28 \
    MN20 MR27 MT31 MU30 MZ25 NE28 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 \
    SA24 SC31 SD18 SE24 SI19 SK24 SM27 SN28 SO23 ST25 SV28 TD27 TG28 TL23 TN24 TR26 UA29 VA22 \
    VG24 XK20 YE30";

/// Proposes the IBAN that starts with the word at `start`.
pub(super) fn at_letter(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    // Some write the word and the number in one.
    let glued = bytes.get(start..start + 4).is_some_and(|word| word.eq_ignore_ascii_case(b"IBAN"));
    let start = if glued { start + 4 } else { start };
    let country =
        [at(bytes, start).to_ascii_uppercase(), at(bytes, start + 1).to_ascii_uppercase()];
    // Most words go on with letters, an IBAN with check digits.
    if at(bytes, start + 2).is_ascii_alphabetic() {
        return;
    }
    let Some(length) = length_in(country) else { return };
    if !starts_at(bytes, start) && !glued {
        return;
    }
    let (mut head, mut rest, mut count, mut end) = (0u64, 0u64, 0u8, start);
    let mut mistaken = None;
    while count < 34 {
        let byte = at(bytes, end).to_ascii_uppercase();
        let value = match byte {
            b'0'..=b'9' => u64::from(byte - b'0'),
            b'A'..=b'Z' => u64::from(byte - b'A') + 10,
            b' ' | b'-' | b'.' if count >= 2 && at(bytes, end + 1).is_ascii_alphanumeric() => {
                end += 1;
                continue;
            }
            _ => break,
        };
        if matches!(count, 2 | 3) && value > 9 {
            return;
        }
        // The first four characters are read last.
        let read = if count < 4 { &mut head } else { &mut rest };
        *read = (*read * if value > 9 { 100 } else { 10 } + value) % 970_000_000;
        if count >= 4 {
            rest %= 97;
        }
        (count, end) = (count + 1, end + 1);
        if count >= 15 && !is_word(at(bytes, end)) && (rest * 1_000_000 + head) % 97 == 1 {
            if count == length {
                out.push(Candidate::new(start, end, Entity::Iban, 0.98));
                return;
            }
            mistaken = Some(end);
        }
    }
    // The check digits are right, the length is not the country's.
    if let Some(end) = mistaken {
        let announced = glued
            || Context::of(text, start, end)
                .has_before(&["iban", "account", "konto", "compte", "cuenta"]);
        out.push(Candidate::new(start, end, Entity::Iban, if announced { 0.8 } else { 0.52 }));
    }
}

/// How long the numbers of a country are; none where it has no IBAN.
fn length_in(country: [u8; 2]) -> Option<u8> {
    let entry = LENGTHS.as_bytes().chunks(5).find(|entry| entry.starts_with(&country))?;
    let [_, _, tens, ones, ..] = entry else { return None };
    Some((tens - b'0') * 10 + ones - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::no;

    #[test]
    fn ibans() {
        for text in [
            "GB29 NWBK 6016 1331 9268 19",
            "DE89370400440532013000",
            "de89 3704 0044 0532 0130 00",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO93 8601 1117 947",
            "MT84-MALT-0110-0001-2345-MTLC-AST0-01S",
            "IBANNL91ABNA0417164300",
        ] {
            let found = crate::detect::testing::find(text);
            assert!(
                found
                    .iter()
                    .any(|span| span.entity == Entity::Iban && span.range.end == text.len()),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn no_ibans() {
        for text in [
            "GB28 NWBK 6016 1331 9268 19",
            "DE8937040044053201300",
            "XX89370400440532013000",
            "DE89370400440532013000X",
        ] {
            no(text, "iban");
        }
    }

    #[test]
    fn the_registry_is_sorted_and_whole() {
        let entries: Vec<&str> = LENGTHS.split(' ').collect();
        assert!(entries.len() >= 105 && entries.is_sorted());
        for entry in entries {
            let country = entry.as_bytes().first_chunk().copied().unwrap_or_default();
            assert!((15..=34).contains(&length_in(country).unwrap_or(0)), "{entry}");
        }
        assert_eq!((length_in(*b"DE"), length_in(*b"XX")), (Some(22), None));
    }
}

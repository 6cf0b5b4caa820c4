//! Payment cards (ISO/IEC 7812).

use super::context::Context;
use super::fold::{Folded, at, ends_at, starts_at};
use super::national::checks::luhn;
use super::{Candidate, Entity, words};

/// Proposes the card number that starts with the digit at `start`.
pub(super) fn at_digit(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) {
        return;
    }
    let (mut digits, mut length, mut end, mut groups) = ([0u8; 19], 0usize, start, vec![]);
    let (mut separator, mut group) = (None, 0u8);
    let (mut best, mut unknown) = (None, None);
    // Every end of a group may be the number's; the longest that fits is.
    loop {
        let byte = at(bytes, end);
        if byte.is_ascii_digit() {
            let Some(place) = digits.get_mut(length) else { break };
            *place = byte;
            length += 1;
            group += 1;
            end += 1;
            continue;
        }
        groups.push(group);
        if let Some(number) = digits.get(..length).filter(|_| length >= 12 && ends_at(bytes, end))
            && luhn(number)
            && !number.windows(2).all(|pair| pair.first() == pair.last())
            && let Some(sure) = grouping(&groups)
        {
            if issuer(number) {
                best = Some((end, sure * rarity(length)));
            } else {
                unknown = Some((end, 0.05));
            }
        }
        let spaced =
            matches!(byte, b' ' | b'-' | b'.' | b'/') && at(bytes, end + 1).is_ascii_digit();
        if !spaced || group == 0 || *separator.get_or_insert(byte) != byte {
            break;
        }
        group = 0;
        end += 1;
    }
    // A number of an issuer that is not known counts where it is called a card.
    let Some((end, sure)) = best.or(unknown) else { return };
    let announced = Context::of(text, start, end).has(&words::CARD);
    out.push(Candidate::new(
        start,
        end,
        Entity::PaymentCard,
        match (announced, best.is_some()) {
            (true, true) => 0.98,
            (true, false) => 0.75,
            _ => sure,
        },
    ));
}

/// Cards of other lengths than 14 to 16 digits are rare, and other numbers of these lengths common.
fn rarity(digits: usize) -> f32 {
    match digits {
        14..=16 => 1.0,
        13 | 19 => 0.65,
        _ => 0.5,
    }
}

/// How sure the groups of digits make it: as on a card, in one piece, or in some other way.
fn grouping(groups: &[u8]) -> Option<f32> {
    match groups {
        [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3] | [4, 4, 4, 4, 2] | [4, 4, 4, 1] => {
            Some(0.95)
        }
        [_] => Some(0.85),
        _ if groups.len() <= 6 && groups.iter().all(|group| (2..=8).contains(group)) => Some(0.6),
        _ => None,
    }
}

/// The issuers' prefixes and lengths (ISO/IEC 7812-1; the issuers' own published ranges).
fn issuer(number: &[u8]) -> bool {
    let prefix = |digits: usize| {
        number.iter().take(digits).fold(0u32, |sum, byte| sum * 10 + u32::from(byte - b'0'))
    };
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match number.len() {
        13 => two / 10 == 4,
        14 => matches!(three, 300..=305) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || matches!(four, 1800 | 2131),
        16 => {
            two / 10 == 4
                || matches!(two, 30 | 35 | 36 | 38 | 39 | 51..=58 | 60..=65 | 67..=69 | 81 | 82)
                || matches!(four, 2200..=2204 | 2221..=2720 | 3528..=3589)
                || matches!(four, 5018 | 5020 | 5038 | 9792)
        }
        12 | 17..=19 => {
            (number.len() == 19 && two / 10 == 4)
                || matches!(two, 56..=58 | 60..=65 | 67..=69 | 36 | 50)
                || matches!(four, 2200..=2204 | 3528..=3589)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{no, whole};

    #[test]
    fn cards() {
        for text in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111111111111111",
            "378282246310005",
            "3782 822463 10005",
            "5555.5555.5555.4444",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "2223003122003222",
            "４１１１　１１１１　１１１１　１１１１",
            "6304000000000000",
            "4222222222222",
        ] {
            whole(text, "payment-card");
        }
    }

    #[test]
    fn no_cards() {
        for text in [
            "4111 1111 1111 1112",
            "9999999999999995",
            "0000000000000000",
            "41111111111111111",
            "4111-1111 1111-1111",
            "1.4111111111111111",
        ] {
            no(text, "payment-card");
        }
    }
}

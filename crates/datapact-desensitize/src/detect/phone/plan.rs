//! Numbering plans (ITU-T E.164), from libphonenumber's metadata: `data/phone_plan.py` writes
//! `data/phone_plan.txt`.

use std::sync::LazyLock;

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// No number has this calling code or length.
    Impossible,
    /// The length is right; the leading digits are not given out.
    Possible,
    /// Length and leading digits are given out.
    Valid,
}

struct Region {
    code: u64,
    /// What is dialled before a national number within the country.
    trunk: &'static str,
    /// For each length of a national number, the ranges of leading three digits.
    lengths: Vec<(usize, Vec<(u16, u16)>)>,
}

static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let lines =
        include_str!("../../../data/phone_plan.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(region).collect()
});

fn region(line: &'static str) -> Option<Region> {
    let mut words = line.split(' ');
    let (_, code, trunk, _) =
        (words.next()?, words.next()?.parse().ok()?, words.next()?, words.next()?);
    let range = |range: &str| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        Some((low.parse().ok()?, high.parse().ok()?))
    };
    let lengths = words.filter_map(|word| {
        let (length, ranges) = word.split_once(':')?;
        Some((length.parse().ok()?, ranges.split(',').filter_map(range).collect()))
    });
    Some(Region { code, trunk: if trunk == "-" { "" } else { trunk }, lengths: lengths.collect() })
}

impl Region {
    fn judge(&self, national: &[u8]) -> Verdict {
        let Some((_, ranges)) = self.lengths.iter().find(|(length, _)| *length == national.len())
        else {
            return Verdict::Impossible;
        };
        let lead = number(national.get(..3).unwrap_or(national)) as u16;
        if ranges.iter().any(|(low, high)| (*low..=*high).contains(&lead)) {
            Verdict::Valid
        } else {
            Verdict::Possible
        }
    }
}

/// Judges the digits behind a `+`.
pub(super) fn international(digits: &[u8]) -> Verdict {
    let mut best = Verdict::Impossible;
    // No calling code begins with 0.
    if digits.starts_with(b"0") {
        return best;
    }
    for length in 1..=3 {
        let Some((code, national)) = digits.split_at_checked(length) else { break };
        let code = number(code);
        for region in REGIONS.iter().filter(|region| region.code == code) {
            best = best.max(region.judge(national));
        }
    }
    best
}

/// Judges digits as they are dialled within some country.
pub(super) fn national(digits: &[u8]) -> Verdict {
    let lead = |digits: &[u8]| number(digits.get(..3).unwrap_or(digits)) as usize;
    let look = |(trunk, verdicts): &(&str, Vec<Verdict>)| {
        let rest = digits.strip_prefix(trunk.as_bytes())?;
        verdicts.get(rest.len() * 1000 + lead(rest)).copied()
    };
    DIALLED.iter().filter_map(look).max().unwrap_or(Verdict::Impossible)
}

/// For each trunk prefix (none included) the best verdict of all countries on the length of
/// what follows, times 1000, plus its leading three digits.
static DIALLED: LazyLock<Vec<(&'static str, Vec<Verdict>)>> = LazyLock::new(|| {
    let mut tables: Vec<(&'static str, Vec<Verdict>)> = Vec::new();
    for region in REGIONS.iter() {
        // Where the prefix is 0, a number without it is incomplete, but for some countries where
        // it is not written; other prefixes are often left out.
        let needed =
            region.trunk == "0" && !matches!(region.code, 55 | 60 | 62 | 84 | 86 | 90 | 91);
        for trunk in [Some(region.trunk), (!needed).then_some("")].into_iter().flatten() {
            let place = tables.iter().position(|(known, _)| *known == trunk).unwrap_or_else(|| {
                tables.push((trunk, vec![Verdict::Impossible; LENGTHS * 1000]));
                tables.len() - 1
            });
            let Some((_, table)) = tables.get_mut(place) else { continue };
            for (length, ranges) in &region.lengths {
                for lead in 0..1000u16 {
                    let valid = ranges.iter().any(|(low, high)| (*low..=*high).contains(&lead));
                    if let Some(verdict) = table.get_mut(length * 1000 + usize::from(lead)) {
                        *verdict =
                            (*verdict).max(if valid { Verdict::Valid } else { Verdict::Possible });
                    }
                }
            }
        }
    }
    tables
});

/// One more than the longest national number (ITU-T E.164 allows 15 digits; a few are longer).
const LENGTHS: usize = 20;

/// Judges digits as they are dialled in North America.
pub(super) fn north_american(digits: &[u8]) -> Verdict {
    let digits = digits.strip_prefix(b"1").filter(|rest| rest.len() == 10).unwrap_or(digits);
    REGIONS
        .iter()
        .filter(|region| region.code == 1)
        .map(|region| region.judge(digits))
        .max()
        .unwrap_or(Verdict::Impossible)
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0u64, |sum, byte| {
        sum.wrapping_mul(10).wrapping_add(u64::from(byte.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_region() {
        let lines = include_str!("../../../data/phone_plan.txt")
            .lines()
            .filter(|line| !line.starts_with('#'));
        assert_eq!(lines.count(), REGIONS.len());
        assert!(REGIONS.len() > 240 && REGIONS.iter().all(|region| !region.lengths.is_empty()));
    }

    #[test]
    fn verdicts() {
        assert_eq!(international(b"442079460123"), Verdict::Valid);
        assert_eq!(international(b"4930123456"), Verdict::Valid);
        assert_eq!(international(b"12025550123"), Verdict::Valid);
        assert_eq!(international(b"11115550123"), Verdict::Possible);
        assert_eq!(international(b"999123456"), Verdict::Impossible);
        assert_eq!(international(b"4420"), Verdict::Impossible);
        assert_eq!(national(b"0612345678"), Verdict::Valid);
        assert_eq!(north_american(b"2025550123"), Verdict::Valid);
    }
}

//! Telephone numbers: international ones by the numbering plans, national ones also by how they are
//! written and by the words around them, since a text rarely says in which country it was written.

mod number;
mod plan;
mod written;

use super::context::Context;
use super::fold::{Folded, at, digits, is_word, plain, previous, skip, starts_at};
use super::{Candidate, Entity, words};
use number::{Number, readings};
use plan::Verdict;

/// Proposes the number that starts at `start`, with a digit, `+` or `(`.
pub(super) fn at_start(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let before = previous(bytes, start);
    let first = at(bytes, start);
    // What a number starts with before this place covers it.
    let covered = matches!(before, b'+' | b'(');
    // `COVID-19 2020` goes on from a word.
    let glued = before == b'-'
        && start.checked_sub(2).is_some_and(|index| is_word(at(bytes, index)))
        && !at(bytes, start + 2).is_ascii_digit();
    if is_word(before) || covered || glued || (first != b'+' && !starts_at(bytes, start)) {
        return;
    }
    // `#0123456789` is the number of something.
    let numbered = before == b'#';
    let mut best: Option<(Number, f32)> = None;
    let mut around = Around { text, start, context: None, announced: false };
    for number in readings(bytes, start) {
        let Some(sure) = judge(&number, &mut around) else { continue };
        let sure = if numbered { sure - 0.3 } else { sure };
        if best.as_ref().is_none_or(|(_, surest)| sure >= *surest) {
            best = Some((number, sure));
        }
    }
    if let Some((number, sure)) = best {
        out.push(Candidate::new(start, extension(bytes, text, number.end), Entity::Phone, sure));
    }
}

/// The text around the numbers that start at one place; before them it is the same for all.
struct Around<'t> {
    text: &'t Folded<'t>,
    start: usize,
    context: Option<Context>,
    announced: bool,
}

impl Around<'_> {
    /// The context of a number with this end, and whether a word announces it.
    fn of(&mut self, end: usize) -> (&Context, bool) {
        let (text, start) = (self.text, self.start);
        let context = match &mut self.context {
            Some(context) => context,
            none => {
                let context = none.insert(Context::of(text, start, start));
                self.announced = context.has_before(&words::PHONE);
                context
            }
        };
        let context = context.end_at(text, end);
        (context, self.announced || context.has_after(&words::PHONE))
    }
}

fn judge(number: &Number, around: &mut Around<'_>) -> Option<f32> {
    let digits = number.digits();
    if number.plus {
        let verdict = plan::international(digits);
        if verdict == Verdict::Valid {
            return Some(0.97);
        }
        let (_, announced) = around.of(number.end);
        return match verdict {
            Verdict::Impossible => (announced && (8..=15).contains(&digits.len())).then_some(0.55),
            _ => Some(if announced { 0.94 } else { 0.8 }),
        };
    }
    let prefixed = ["00", "011", "001"].iter().find_map(|prefix| {
        let rest = digits.strip_prefix(prefix.as_bytes())?;
        // `001 234 ...` is the prefix 00 and the code 1.
        let rest = if *prefix == "001" { digits.strip_prefix(b"00")? } else { rest };
        (rest.len() >= 8)
            .then(|| plan::international(rest))
            .filter(|verdict| *verdict > Verdict::Impossible)
    });
    if !(5..=15).contains(&digits.len()) && prefixed.is_none() {
        return None;
    }
    let national = plan::national(digits);
    let written = written::confidence(number, national).max(match prefixed {
        Some(Verdict::Valid) => 0.8,
        Some(_) if number.groups.len() > 1 => 0.6,
        _ => 0.0,
    });
    if written <= 0.0 {
        return None;
    }
    let (context, announced) = around.of(number.end);
    if !announced && context.is_amount() {
        return Some(0.1);
    }
    if !announced && context.ends_with(&words::OTHER_NUMBER) {
        return Some((written - 0.35).max(0.1));
    }
    if announced && digits.len() >= 6 {
        let floor = match national {
            Verdict::Valid => 0.88,
            Verdict::Possible => 0.8,
            Verdict::Impossible => 0.6,
        };
        return Some((written + 0.2).clamp(floor, 0.95));
    }
    // Eleven digits from 13 to 19 on are a mobile number in China.
    let chinese = written >= 0.45
        && digits.len() == 11
        && digits.starts_with(b"1")
        && context.is_east_asian();
    Some(if chinese { written + 0.08 } else { written })
}

/// Where a number ends whose digits end at `end`, with the extension after it.
fn extension(bytes: &[u8], text: &Folded<'_>, end: usize) -> usize {
    let index = skip(bytes, end, b" ,;-", 2);
    let tail = plain(text.after(index, 16));
    let Some(word) = words::EXTENSION.iter().find(|word| tail.starts_with(**word)) else {
        return end;
    };
    let index = skip(bytes, index + word.chars().count(), b" .:", 2);
    let digits = digits(bytes, index, 7);
    if (1..=7).contains(&digits) && !is_word(at(bytes, index + digits)) {
        index + digits
    } else {
        end
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{is, no, whole};

    #[test]
    fn international() {
        for text in [
            "+49 30 123456",
            "+49(0)30 123456",
            "+33 (0)1 42 68 53 00",
            "+1-202-555-0123",
            "+44 20 7946 0123",
            "+81 3-1234-5678",
            "+8613800138000",
            "+55 (11) 91234-5678",
            "+91-98765-43210",
            "0049 30 123456",
            "001-202-555-0123x123",
            "＋４４ ２０ ７９４６ ０１２３",
            "+1 (202) 555-0123 ext. 12",
            "+7 (999) 123-45-67",
        ] {
            whole(text, "phone");
        }
    }

    #[test]
    fn national() {
        for text in [
            "(202) 555-0123",
            "202-555-0123",
            "202.555.0123",
            "01 42 68 53 00",
            "030/123456",
            "020 7946 0123",
            "8 (999) 123-45-67",
            "090-1234-5678",
            "010-1234-5678",
        ] {
            whole(text, "phone");
        }
    }

    #[test]
    fn announced() {
        for text in [
            "Tel. 5550123",
            "call 2025550123 now",
            "mi móvil es 612345678",
            "电话13800138000",
            "puh. 0401234567",
            "моб: 89991234567",
        ] {
            is(text, "phone");
        }
    }

    #[test]
    fn near_misses() {
        for text in [
            "2024-01-15",
            "1234567890",
            "192.168.0.1",
            "1,234,567.89",
            "12:34:56",
            "order 202-555-01234",
            "4111 1111 1111 1111",
            "3.14159265",
            "+1 2",
            "v1.2.3.4",
            "2019-2020",
            "100-200-300-400-500",
            "12.05.1985",
            "ISBN 978-3-16-148410-0",
            "1 000 000",
            "+12345678901234567890",
        ] {
            no(text, "phone");
        }
    }
}

//! Telephone numbers: international ones by the numbering plans, national ones also by how they are
//! written and by the words around them, since a text rarely says in which country it was written.

mod plan;

use super::context::Context;
use super::fold::{Folded, at, is_word, previous, starts_at};
use super::{Candidate, Entity};
use plan::Verdict;

/// E.164 allows 15 digits; before them may stand an international prefix of up to four.
const DIGITS_MAX: usize = 19;
const GROUPS_MAX: usize = 8;

/// Words that announce a number.
pub(super) const WORDS: &[&str] = &[
    "phone",
    "tel",
    "telephone",
    "telefon",
    "telefono",
    "telefone",
    "telefoon",
    "telefoni",
    "mobile",
    "mobil",
    "movil",
    "mobiel",
    "cell",
    "cellphone",
    "celular",
    "cellulare",
    "telemovel",
    "handy",
    "portable",
    "call",
    "dial",
    "fax",
    "whatsapp",
    "sms",
    "text me",
    "ring",
    "hotline",
    "ruf",
    "anruf",
    "erreichbar",
    "appel",
    "joindre",
    "llam",
    "chiam",
    "ligue",
    "ligar",
    "bel",
    "bellen",
    "ring",
    "ringa",
    "puh",
    "puhelin",
    "soita",
    "tlf",
    "tlf.",
    "gsm",
    "numer telefonu",
    "zadzwon",
    "dzwon",
    "komork",
    "zavolej",
    "telefonszam",
    "hivj",
    "sunati",
    "ara",
    "cep",
    "тел",
    "телефон",
    "моб",
    "звон",
    "дзвон",
    "τηλ",
    "κιν",
    "电话",
    "電話",
    "手机",
    "手機",
    "联系",
    "携帯",
    "전화",
    "휴대",
    "연락",
    "फोन",
    "मोबाइल",
    "هاتف",
    "جوال",
    "טלפון",
    "נייד",
    "โทร",
    "contact",
    "reach",
];

/// Words of other numbers, right before them.
pub(super) const OTHERS: &[&str] = &[
    "order",
    "invoice",
    "ticket",
    "isbn",
    "issn",
    "serial",
    "ref",
    "reference",
    "sku",
    "part",
    "article",
    "item",
    "case",
    "batch",
    "lot",
    "code",
    "version",
    "product",
    "tracking",
    "parcel",
    "bestellung",
    "bestellnummer",
    "rechnung",
    "rechnungsnummer",
    "artikelnummer",
    "facture",
    "commande",
    "pedido",
    "factura",
    "fattura",
    "ordine",
    "bestelling",
    "factuur",
    "ordre",
    "faktura",
    "zamowienie",
    "account",
    "konto",
    "model",
    "page",
    "room",
    "id",
    "gtin",
    "ean",
    "upc",
    "doi",
    "imei",
];

/// Words before an extension.
const EXTENSIONS: &[&str] = &[
    "extension",
    "extn",
    "ext",
    "x",
    "poste",
    "anexo",
    "ramal",
    "int",
    "dw",
    "durchwahl",
    "доб",
    "#",
];

/// One way to read digits and what stands between them.
#[derive(Clone)]
struct Number {
    digits: [u8; DIGITS_MAX],
    length: usize,
    /// The lengths of groups of digits.
    groups: Vec<usize>,
    plus: bool,
    /// Whether the first group, or a part of it, stands in brackets.
    bracketed: bool,
    separator: u8,
    mixed: bool,
    end: usize,
}

impl Number {
    fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.digits.get_mut(self.length)? = byte;
        self.length += 1;
        Some(())
    }
}

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

/// The numbers that start here, from short to long: each ends with a group of digits.
fn readings(bytes: &[u8], start: usize) -> Vec<Number> {
    // `(+44) 20 ...` has its country code in brackets.
    let wrapped = at(bytes, start) == b'(' && at(bytes, start + 1) == b'+';
    let plus = wrapped || at(bytes, start) == b'+';
    let mut number = Number {
        digits: [0; DIGITS_MAX],
        length: 0,
        groups: Vec::new(),
        plus,
        bracketed: false,
        separator: 0,
        mixed: false,
        end: start + usize::from(plus) + usize::from(wrapped),
    };
    let mut found = Vec::new();
    let mut open = wrapped;
    while number.groups.len() < GROUPS_MAX {
        // What stands between groups: up to three of these, and brackets in pairs.
        let (mut index, gap) = (number.end, number.end);
        while index < gap + 4 {
            match at(bytes, index) {
                b' ' => {}
                b'(' if !open && number.groups.len() <= 1 => {
                    (open, number.bracketed) = (true, true)
                }
                b')' if open => open = false,
                b'-' | b'.' | b'/' if !number.groups.is_empty() => {
                    let byte = at(bytes, index);
                    number.mixed |= number.separator != 0 && number.separator != byte;
                    number.separator = byte;
                }
                _ => break,
            }
            index += 1;
        }
        if index > gap
            && number.groups.len() > 1
            && bytes.get(gap..index).is_some_and(|gap| gap.iter().all(|b| *b == b' '))
        {
            number.mixed |= number.separator != 0 && number.separator != b' ';
            number.separator = b' ';
        }
        let digits = bytes
            .iter()
            .skip(index)
            .take(DIGITS_MAX + 1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 || (index == gap && !number.groups.is_empty()) {
            break;
        }
        // The trunk prefix after a country code, `+44 (0)20`, is not dialled from abroad.
        let international = number.plus || number.digits().starts_with(b"00");
        let trunk = usize::from(
            open && at(bytes, index) == b'0' && international && !number.groups.is_empty(),
        );
        for byte in bytes.iter().skip(index + trunk).take(digits - trunk) {
            if number.push(*byte).is_none() {
                return found;
            }
        }
        if digits > trunk {
            number.groups.push(digits - trunk);
        }
        number.end = index + digits;
        // Nobody writes a number digit by digit; lists of digits are common, and would take long.
        let apart = number.groups.iter().filter(|length| **length == 1).count();
        if apart > 2 {
            break;
        }
        if !open && digits > trunk && number.length >= 5 && ends(bytes, number.end) {
            found.push(number.clone());
        }
    }
    found
}

/// Whether a number may end here: before no further digit or letter, other than an extension's.
fn ends(bytes: &[u8], index: usize) -> bool {
    let next = at(bytes, index);
    let after = at(bytes, index + 1);
    if matches!(next, b'x' | b'X' | b'#') {
        return after.is_ascii_digit() || !is_word(after);
    }
    let joined = matches!(next, b'-' | b'.' | b'/' | b',' | b':' | b'@' | b'%' | b'=')
        && after.is_ascii_alphanumeric();
    !is_word(next) && !joined && next != b'%'
}

/// What stands around the numbers that start at one place: before them all the same.
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
                self.announced = context.has_before(WORDS);
                context
            }
        };
        let context = context.end_at(text, end);
        (context, self.announced || context.has_after(WORDS))
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
    let written = written(number, national).max(match prefixed {
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
    if !announced && context.ends_with(OTHERS) {
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

/// How much the way in which a national number is written says; 0 for what is none.
fn written(number: &Number, national: Verdict) -> f32 {
    let (digits, groups) = (number.digits(), number.groups.as_slice());
    let valid = national == Verdict::Valid;
    let high = |index: usize| digits.get(index).is_some_and(|digit| *digit >= b'2');
    let leading_zero = digits.starts_with(b"0") && !digits.starts_with(b"00");
    // `0.98765432` is a number with decimals, and `10.1000/182` one with parts of several kinds.
    let decimals = groups.len() == 2 && number.separator == b'.' && digits.starts_with(b"0");
    if !number.bracketed
        && ((number.mixed && !leading_zero) || (decimals && groups.first() == Some(&1)))
    {
        return 0.2;
    }
    let either = |yes: f32, no: f32| if valid { yes } else { no };
    if number.bracketed {
        return match (groups, digits.len()) {
            ([3, 3, 4], _) if high(0) => 0.85,
            (_, 9..=13) => either(0.75, 0.6),
            (_, 7 | 8) => either(0.5, 0.3),
            _ => 0.0,
        };
    }
    match groups {
        [3, 3, 4] | [1, 3, 3, 4]
            if !leading_zero && (groups.len() == 3 || digits.starts_with(b"1")) =>
        {
            let first = groups.len() - 3;
            let american = plan::north_american(digits) == Verdict::Valid && high(first + 3);
            match number.separator {
                b' ' => {
                    if american {
                        0.65
                    } else {
                        0.5
                    }
                }
                _ if american => 0.8,
                _ => 0.55,
            }
        }
        // Dates, sums and versions are written like this too.
        // So only mobile numbers in Indonesia.
        [4, 4, 4] if digits.starts_with(b"08") && valid && number.separator == b'-' => 0.55,
        [4, 4, 4] | [4, 4, 4, 4] => 0.2,
        [4, 2, 2] | [2, 2, 4] | [1, 2, 4] | [2, 1, 4] | [1, 1, 4] => 0.1,
        [1, 3, 3, 2, 2] | [1, 3, 3, 4] if matches!(digits.first(), Some(b'7' | b'8')) => {
            either(0.8, 0.5)
        }
        [_] => match digits.len() {
            10 | 11 if leading_zero => either(0.5, 0.25),
            11 if digits.starts_with(b"1") && matches!(digits.get(1), Some(b'3'..=b'9')) => 0.45,
            7..=15 => 0.2,
            _ => 0.0,
        },
        [2, 2, 2, 2] if number.separator == b' ' => either(0.55, 0.5),
        _ if leading_zero && (9..=12).contains(&digits.len()) && groups.len() <= 6 => {
            either(0.72, 0.5)
        }
        _ if leading_zero && (7..=8).contains(&digits.len()) => either(0.4, 0.25),
        [3, 4, 4] if digits.starts_with(b"1") => either(0.7, 0.4),
        [3, 2, 2, 2]
        | [3, 3, 2, 2]
        | [2, 3, 2, 2]
        | [3, 2, 3]
        | [2, 2, 2, 2]
        | [3, 3, 3]
        | [2, 3, 4]
        | [2, 4, 4]
        | [2, 5, 4]
        | [5, 5]
        | [1, 4, 4]
        | [2, 4, 3]
        | [2, 3, 3] => either(0.52, 0.3),
        [3, 4] | [4, 4] => 0.35,
        _ if digits.len() >= 7 && groups.len() <= 5 => either(0.35, 0.2),
        _ if digits.len() >= 5 && groups.len() <= 4 => 0.1,
        _ => 0.0,
    }
}

/// Where a number ends whose digits end at `end`, with the extension after it.
fn extension(bytes: &[u8], text: &Folded<'_>, end: usize) -> usize {
    let mut index = end;
    while matches!(at(bytes, index), b' ' | b',' | b';' | b'-') && index < end + 2 {
        index += 1;
    }
    let tail = super::fold::plain(text.after(index, 16));
    let Some(word) = EXTENSIONS.iter().find(|word| tail.starts_with(**word)) else { return end };
    index += word.chars().count();
    let after = index;
    while matches!(at(bytes, index), b' ' | b'.' | b':') && index < after + 2 {
        index += 1;
    }
    let digits = bytes.iter().skip(index).take(8).take_while(|byte| byte.is_ascii_digit()).count();
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

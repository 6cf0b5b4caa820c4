//! E-mail addresses (RFC 5321, RFC 6531) around an `@`.

use super::fold::{IDEOGRAPH, LETTER, at};
use super::{Candidate, Entity};

/// RFC 5321 section 4.5.3.1, rounded up for letters of more than a byte.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 253;

/// Names of files that look like domains: `image@2x.png`.
const FILES: &[&[u8]] =
    &[b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"ts", b"pdf"];

/// Proposes the address around the `@` at `index`.
pub(super) fn at_sign(bytes: &[u8], index: usize, out: &mut Vec<Candidate>) {
    let Some(start) = local_start(bytes, index) else { return };
    let Some((end, confidence)) = domain_end(bytes, index + 1) else { return };
    out.push(Candidate::new(start, end, Entity::Email, confidence));
}

fn local_start(bytes: &[u8], sign: usize) -> Option<usize> {
    let before = bytes.get(sign.saturating_sub(LOCAL_MAX)..sign)?;
    if before.last() == Some(&b'"') {
        // A quoted local part, on one line.
        let inner = before.get(..before.len() - 1)?;
        let quote = inner.iter().rposition(|byte| matches!(byte, b'"' | b'\n'))?;
        return (inner.get(quote) == Some(&b'"')).then_some(sign - before.len() + quote);
    }
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || *byte == LETTER
            || matches!(
                byte,
                b'.' | b'_' | b'+' | b'-' | b'%' | b'\'' | b'&' | b'~' | b'#' | b'!' | b'$' | b'*'
            )
    };
    let mut local = before.iter().rev().take_while(|byte| allowed(byte)).count();
    if local == 0 {
        local = before.iter().rev().take_while(|byte| **byte == IDEOGRAPH).count();
        return (local > 0).then_some(sign - local);
    }
    // What opens a quotation or a list is not part of the address.
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(*byte, LETTER | b'_' | b'+');
    let text = bytes.get(sign - local..sign)?;
    local -= text.iter().take_while(|byte| !word(byte)).count();
    let last = bytes.get(sign - 1).copied().unwrap_or(b'.');
    (local > 0 && last != b'.').then_some(sign - local)
}

fn domain_end(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let rest = bytes.get(start..bytes.len().min(start + DOMAIN_MAX))?;
    if rest.first() == Some(&b'[') {
        let close = rest.iter().position(|byte| *byte == b']')?;
        let inner = std::str::from_utf8(rest.get(1..close)?).ok()?;
        let plain = inner.strip_prefix("IPv6:").unwrap_or(inner);
        return plain.parse::<std::net::IpAddr>().ok().map(|_| (start + close + 1, 0.97));
    }
    let ideographic = rest.first() == Some(&IDEOGRAPH);
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(*byte, LETTER | b'.' | b'-')
            || (ideographic && *byte == IDEOGRAPH)
    };
    let mut length = rest.iter().take_while(|byte| allowed(byte)).count();
    // Back to the end of the last label that a domain may end with.
    loop {
        let domain = rest.get(..length)?;
        let dot = domain.iter().rposition(|byte| *byte == b'.')?;
        let label = domain.get(dot + 1..)?;
        let letters = label
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic() || matches!(**byte, LETTER | IDEOGRAPH));
        let letters = letters.count();
        let encoded = label.len() > 4
            && label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"xn--"));
        let labels = domain.get(..dot)?;
        let whole = !labels.is_empty()
            && labels.split(|byte| *byte == b'.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.first() != Some(&b'-')
                    && label.last() != Some(&b'-')
            });
        if whole && ((letters == label.len() && (2..=24).contains(&letters)) || encoded) {
            let file = FILES.iter().any(|file| label.eq_ignore_ascii_case(file));
            let glued = at(bytes, start + length) == b'@';
            return Some((start + length, if file || glued { 0.3 } else { 0.97 }));
        }
        if whole && letters >= 2 && at(label, letters) == b'-' {
            return Some((start + dot + 1 + letters, 0.8));
        }
        length = dot;
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{no, whole};

    #[test]
    fn addresses() {
        for text in [
            "a@b.co",
            "Jane.Doe+news@Mail.Example.COM",
            "o'brien@example.ie",
            "jürgen@müller.de",
            "用户@例子.公司",
            "\"john smith\"@example.org",
            "x@[192.0.2.1]",
            "user_1%x@xn--bcher-kva.example",
            "ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ",
        ] {
            whole(text, "email");
        }
    }

    #[test]
    fn near_misses() {
        for text in [
            "a@b",
            "@example.com",
            "a@.com",
            "john.@example.com",
            "icon@2x.png",
            "a@b..com",
            "1@2.3",
        ] {
            no(text, "email");
        }
    }

    #[test]
    fn punctuation_stays_outside() {
        let found =
            crate::detect::testing::find("<mailto:a.b@c.example>, or 'x@y.org'. 邮箱z@q.cn。");
        let texts: Vec<_> = found.iter().map(|span| span.range.clone()).collect();
        assert_eq!(texts, [8..21, 28..35, 44..50]);
    }
}

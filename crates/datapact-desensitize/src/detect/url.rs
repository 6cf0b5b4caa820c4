//! URLs (RFC 3986): with a scheme, starting with `www.`, or a host name under a well-known
//! top-level domain.

use super::fold::{IDEOGRAPH, LETTER, OTHER, at, is_word, previous};
use super::{Candidate, Entity};

/// Longer ones are cut here.
const LENGTH_MAX: usize = 2048;

/// Top-level domains that are hardly ever anything else after a full stop. Endings of common file
/// names (`md`, `py`, `rs`, `sh` ...) are left out on purpose.
const TOP: &[&str] = &[
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "io", "co", "app", "dev", "ai",
    "me", "eu", "uk", "de", "fr", "es", "it", "nl", "be", "ch", "at", "se", "no", "fi", "dk", "cz",
    "pt", "gr", "hu", "ro", "ru", "ua", "tr", "jp", "cn", "kr", "tw", "hk", "sg", "in", "au", "nz",
    "br", "mx", "ar", "ca", "us", "za", "tv", "xyz", "online", "site", "shop", "store", "blog",
    "cloud", "tech", "news",
];

/// Proposes the URL whose `://` is at `colon`.
pub(super) fn at_colon(bytes: &[u8], colon: usize, out: &mut Vec<Candidate>) {
    if at(bytes, colon + 1) != b'/' || at(bytes, colon + 2) != b'/' {
        return;
    }
    let before = bytes.get(colon.saturating_sub(16)..colon).unwrap_or_default();
    let scheme = before
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        .count();
    let start = colon - scheme;
    if scheme < 2 || !at(bytes, start).is_ascii_alphabetic() {
        return;
    }
    let end = end_of(bytes, colon + 3);
    if end > colon + 3 && (is_word(at(bytes, colon + 3)) || at(bytes, colon + 3) == b'[') {
        out.push(Candidate::new(start, end, Entity::Url, 0.98));
    }
}

/// Proposes the URL without a scheme that starts with the word at `start`.
pub(super) fn at_word(bytes: &[u8], start: usize, out: &mut Vec<Candidate>) {
    if matches!(previous(bytes, start), b'@' | b'.' | b'/' | b'-') {
        return;
    }
    let rest = bytes.get(start..bytes.len().min(start + 253)).unwrap_or_default();
    let host_length = rest
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(**b, LETTER | b'.' | b'-'))
        .count();
    let host = rest.get(..host_length).unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    let Some(dot) = host.iter().rposition(|byte| *byte == b'.') else { return };
    let after = at(bytes, start + host.len());
    if after == b'@'
        || after == b'_'
        || host.split(|byte| *byte == b'.').any(|label| label.is_empty() || label.len() > 63)
    {
        return;
    }
    let top = host.get(dot + 1..).unwrap_or_default();
    let known = TOP
        .iter()
        .any(|known| top == known.as_bytes() || top == known.to_ascii_uppercase().as_bytes());
    let www =
        host.len() > 7 && host.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"www."));
    let path = after == b'/' && is_word(at(bytes, start + host.len() + 1));
    let named = host.get(..dot).is_some_and(|names| {
        names.iter().any(|b| b.is_ascii_alphabetic() || *b == LETTER) && names.len() > 1
    });
    // Without a scheme, a known top-level domain alone may be a sentence without a space.
    let confidence = match (www && dot > 3, known && named, path) {
        (true, _, _) => 0.93,
        (_, true, true) => 0.8,
        (_, true, false) => 0.55,
        _ => return,
    };
    let end = match after {
        b'/' | b'?' | b'#' => end_of(bytes, start + host.len()),
        b':' if at(bytes, start + host.len() + 1).is_ascii_digit() => {
            end_of(bytes, start + host.len())
        }
        _ => start + host.len(),
    };
    out.push(Candidate::new(start, end, Entity::Url, confidence));
}

/// Where a URL that goes on from `from` ends: before white space, quotes and brackets; punctuation
/// at the end does not belong to it.
fn end_of(bytes: &[u8], from: usize) -> usize {
    let rest =
        bytes.get(from..bytes.len().min(from.saturating_add(LENGTH_MAX))).unwrap_or_default();
    let outside = |byte: &u8| {
        *byte <= b' '
            || matches!(
                *byte,
                b'"' | b'<'
                    | b'>'
                    | b'\\'
                    | b'^'
                    | b'`'
                    | b'{'
                    | b'}'
                    | b'|'
                    | 0x7F
                    | OTHER
                    | IDEOGRAPH
            )
    };
    let length = rest.iter().position(outside).unwrap_or(rest.len());
    let url = rest.get(..length).unwrap_or_default();
    let opened = url.contains(&b'(');
    let trimmed = url.iter().rev().take_while(|byte| match byte {
        b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' | b']' | b'*' | b'_' => true,
        b')' => !opened,
        _ => false,
    });
    from + length - trimmed.count()
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{no, whole};

    #[test]
    fn urls() {
        for text in [
            "https://example.com/a?b=c#d",
            "HTTP://EXAMPLE.COM",
            "ftp://user:pw@host.example:21/x",
            "www.example.de/pfad",
            "example.com/path",
            "https://de.wikipedia.org/wiki/Titel_(Begriff)",
            "https://[2001:db8::1]:8443/",
            "sub.example.co.uk",
        ] {
            whole(text, "url");
        }
    }

    #[test]
    fn near_misses() {
        for text in
            ["main.rs", "e.g.", "3.14", "http://", "://x", "README.md", "end.In the", "a@b.com"]
        {
            no(text, "url");
        }
    }
}

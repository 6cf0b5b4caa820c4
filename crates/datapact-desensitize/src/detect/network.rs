//! IP addresses (RFC 791, RFC 4291) and MAC addresses (IEEE 802).

use std::net::Ipv6Addr;

use super::context::Context;
use super::fold::{Folded, at, count_while, is_word, number, previous};
use super::{Candidate, Entity};

/// The longest textual IPv6 address, with an IPv4 address at its end.
const V6_MAX: usize = 45;

/// Proposes the address that starts at `start`: a word, or the colons of a shortened IPv6 address.
pub(super) fn at_start(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let first = at(bytes, start);
    if matches!(previous(bytes, start), b':' | b'.' | b'%') && first != b':' && joined(bytes, start)
    {
        return;
    }
    if first.is_ascii_digit() {
        v4(text, start, out);
    }
    if first.is_ascii_hexdigit() || first == b':' {
        v6(bytes, start, out);
    }
    if first.is_ascii_hexdigit() {
        mac(text, start, out);
    }
}

/// Whether the colon or full stop before `start` joins it to a word before.
fn joined(bytes: &[u8], start: usize) -> bool {
    start.checked_sub(2).is_some_and(|before| {
        at(bytes, before).is_ascii_hexdigit() && at(bytes, before + 1) != b' '
    }) && at(bytes, start.saturating_sub(1)) != b':'
}

fn v4(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let mut end = start;
    for part in 0..4 {
        let Some((value, after)) = number(bytes, end, 3) else { return };
        // A leading zero would make it octal, or a version number.
        if value > 255 || (after - end > 1 && at(bytes, end) == b'0') {
            return;
        }
        end = after;
        if part < 3 {
            if at(bytes, end) != b'.' {
                return;
            }
            end += 1;
        }
    }
    let next = at(bytes, end);
    if is_word(next)
        || (next == b'.' && at(bytes, end + 1).is_ascii_alphanumeric())
        || matches!(previous(bytes, start), b'.' | b'-')
    {
        return;
    }
    // A prefix length belongs to the address; a port does not.
    if next == b'/'
        && let Some((length, after)) = number(bytes, end + 1, 2)
        && length <= 32
        && !is_word(at(bytes, after))
    {
        end = after;
    }
    let context = Context::of(text, start, end);
    let version =
        context.has_before(&["version", "ver", "release", "build", "v", "section", "oid"]);
    let confidence = if version && !context.has_before(&["ip", "host", "server", "address"]) {
        0.3
    } else {
        0.93
    };
    out.push(Candidate::new(start, end, Entity::Ip, confidence));
}

fn v6(bytes: &[u8], start: usize, out: &mut Vec<Candidate>) {
    let before = previous(bytes, start);
    if is_word(before) || before == b':' {
        return;
    }
    let rest = bytes.get(start..bytes.len().min(start + V6_MAX)).unwrap_or_default();
    let mut length =
        rest.iter().take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')).count();
    if !rest.get(..length).is_some_and(|run| run.contains(&b':'))
        || is_word(at(bytes, start + length))
    {
        return;
    }
    while rest.get(..length).and_then(<[u8]>::last).is_some_and(|last| *last == b'.')
        || (rest.get(..length).is_some_and(|run| run.ends_with(b":") && !run.ends_with(b"::")))
    {
        length -= 1;
    }
    let run = rest.get(..length).unwrap_or_default();
    let Some(address) = std::str::from_utf8(run).ok().and_then(|run| run.parse::<Ipv6Addr>().ok())
    else {
        return;
    };
    let mut end = start + length;
    // A zone and a prefix length belong to the address.
    for mark in [b'%', b'/'] {
        let more = count_while(bytes, end + 1, 15, |byte| byte.is_ascii_alphanumeric());
        let fits = mark == b'%'
            || bytes.iter().skip(end + 1).take(more).all(u8::is_ascii_digit) && more <= 3;
        if at(bytes, end) == mark && more > 0 && fits {
            end += 1 + more;
        }
    }
    // `::` and `a::b` are also operators and paths of programs.
    let long = run.len() >= 6 || address.is_loopback();
    let digits = run.iter().any(u8::is_ascii_digit);
    let confidence = match (long, digits) {
        (true, true) => 0.93,
        (true, false) => 0.6,
        _ => 0.35,
    };
    out.push(Candidate::new(start, end, Entity::Ip, confidence));
}

fn mac(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let before = previous(bytes, start);
    if is_word(before)
        || matches!(before, b':' | b'-')
            && start.checked_sub(2).is_some_and(|i| at(bytes, i).is_ascii_hexdigit())
    {
        return;
    }
    let hex = |from: usize, count: usize| {
        bytes.get(from..from + count).is_some_and(|run| run.iter().all(u8::is_ascii_hexdigit))
    };
    let (pair, quad) = (at(bytes, start + 2), at(bytes, start + 4));
    let written = |groups: usize, digits: usize, separator: u8| {
        (0..groups).all(|group| {
            let from = start + group * (digits + 1);
            hex(from, digits) && (group + 1 == groups || at(bytes, from + digits) == separator)
        })
    };
    let (end, confidence) = if matches!(pair, b':' | b'-' | b' ' | b'.') && written(6, 2, pair) {
        (start + 17, if pair == b' ' { 0.5 } else { 0.95 })
    } else if matches!(quad, b'.' | b'-' | b':') && written(3, 4, quad) {
        // Numbers of all kinds are written in groups of four digits.
        let letters =
            bytes.get(start..start + 14).is_some_and(|run| run.iter().any(u8::is_ascii_alphabetic));
        let sure = match (quad, letters) {
            (b'.', true) => 0.9,
            (_, true) => 0.6,
            _ => 0.1,
        };
        (start + 14, sure)
    } else if hex(start, 12) {
        let announced = Context::of(text, start, start + 12).has(&[
            "mac",
            "ethernet",
            "hwaddr",
            "bssid",
            "physical address",
        ]);
        (start + 12, if announced { 0.8 } else { 0.1 })
    } else {
        return;
    };
    let next = at(bytes, end);
    let longer = matches!(next, b':' | b'-' | b'.')
        && at(bytes, end + 1).is_ascii_hexdigit()
        && !bytes.get(end..end + 4).is_some_and(|tail| tail.contains(&b' '));
    if !is_word(next) && !longer {
        out.push(Candidate::new(start, end, Entity::Mac, confidence));
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{no, whole};

    #[test]
    fn addresses() {
        for text in [
            "192.0.2.1",
            "10.0.0.0/8",
            "2001:db8::1",
            "FE80::1%eth0",
            "::ffff:192.0.2.1",
            "2001:0db8:0:0:0:0:0:1/64",
            "::1",
        ] {
            whole(text, "ip-address");
        }
        for text in ["00:1A:2b:3c:4D:5e", "00-1A-2B-3C-4D-5E", "001a.2b3c.4d5e"] {
            whole(text, "mac-address");
        }
    }

    #[test]
    fn near_misses() {
        for text in [
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "version 1.2.3.4",
            "01.02.03.04",
            "12:34:56",
            "std::vec",
            "a::b",
            "::",
        ] {
            no(text, "ip-address");
        }
        for text in ["00:1A:2b:3c:4D", "00:1A:2b:3c:4D:5e:6f", "00:1G:2b:3c:4D:5e", "001a2b3c4d5e"]
        {
            no(text, "mac-address");
        }
    }
}

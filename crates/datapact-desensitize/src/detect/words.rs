//! The words that tell what a value is: the lists of `data/words.txt`, each read when first used.

use std::sync::LazyLock;

/// Words in small letters without accents, as [`plain`](super::fold::plain) writes them.
pub(crate) type Words = LazyLock<Vec<&'static str>>;

pub(super) static UNIT: Words = LazyLock::new(|| list("unit"));
pub(super) static CARD: Words = LazyLock::new(|| list("card"));
pub(super) static NATIONAL_ID: Words = LazyLock::new(|| list("national-id"));
pub(crate) static PHONE: Words = LazyLock::new(|| list("phone"));
pub(super) static OTHER_NUMBER: Words = LazyLock::new(|| list("other-number"));
pub(super) static EXTENSION: Words = LazyLock::new(|| list("extension"));
pub(crate) static BIRTH: Words = LazyLock::new(|| list("birth"));
pub(super) static MONTH: Words = LazyLock::new(|| list("month"));
pub(crate) static POSTCODE: Words = LazyLock::new(|| list("postcode"));
pub(super) static COORDINATES: Words = LazyLock::new(|| list("coordinates"));
pub(super) static STREET_AFTER: Words = LazyLock::new(|| list("street-after"));
pub(super) static STREET_BEFORE: Words = LazyLock::new(|| list("street-before"));
pub(super) static STREET_END: Words = LazyLock::new(|| list("street-end"));

const FILE: &str = include_str!("../../data/words.txt");

/// The words of the list with this name, in the file's order; empty if there is no such list.
pub(crate) fn list(name: &str) -> Vec<&'static str> {
    let is_head = |line: &&str| line.starts_with('[');
    let is_list = |line: &&str| line.strip_prefix('[') != Some(&*format!("{name}]"));
    let lines = FILE.lines().skip_while(is_list).skip(1).take_while(|line| !is_head(line));
    let words = lines.filter(|line| !line.starts_with("# ")).flat_map(|line| line.split(','));
    words.map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fold::plain;
    use super::*;

    #[test]
    fn every_list_has_words_as_they_are_compared() {
        let names = FILE.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        let mut count = 0;
        for name in names {
            let words = list(name);
            assert!(!words.is_empty(), "{name}");
            assert!(words.iter().all(|word| *word == plain(word)), "{name}");
            count += 1;
        }
        assert_eq!(count, 32);
        assert_eq!(MONTH.len(), 12);
        assert!(list("none").is_empty());
    }
}

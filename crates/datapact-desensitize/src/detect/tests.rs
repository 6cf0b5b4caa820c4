#![allow(clippy::panic)]

use proptest::prelude::*;

use super::testing::find;
use super::*;

#[test]
fn the_surest_of_overlapping_ones_stays() {
    let found = find("john@www.example.com");
    assert_eq!(found.iter().map(Found::name).collect::<Vec<_>>(), ["email"]);
}

#[test]
fn only_what_is_asked_for() {
    let mut found = Vec::new();
    find_only("a@b.example, 192.0.2.1", Entity::Ip, &mut found);
    assert_eq!(found.iter().map(Found::name).collect::<Vec<_>>(), ["ip-address"]);
}

fn find_only(text: &str, entity: Entity, found: &mut Vec<Found>) {
    super::find(text, &[entity], found);
}

#[test]
fn names_are_unique_and_found_again() {
    for entity in Entity::ALL {
        assert_eq!(Entity::of_name(entity.name()), Some(entity));
    }
    for kind in NationalId::all() {
        assert!(Entity::of_name(kind.code()).is_none());
    }
}

#[test]
fn what_people_write_is_found_in_its_bounds_and_other_numbers_are_not() {
    let mut wrong = Vec::new();
    for line in
        include_str!("../../testdata/forms.txt").lines().filter(|line| !line.starts_with('#'))
    {
        let Some((name, marked)) = line.split_once('\t') else { panic!("`{line}`") };
        let text = marked.replacen('{', "", 1);
        let Some(begin) = marked.find('{').filter(|_| name != "-") else {
            let found = find(&text);
            if found.iter().any(|one| one.entity != Entity::Date) {
                wrong.push(format!("{line}: {found:?}"));
            }
            continue;
        };
        let end = text.rfind('}').unwrap_or(text.len());
        let text = text.replacen('}', "", 1);
        if !find(&text).iter().any(|one| one.name() == name && one.range == (begin..end)) {
            wrong.push(format!("{line}: {:?}", find(&text)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn long_texts_lose_nothing_at_the_joints() {
    let part = "word ünïcode a.b@example.com, +49 30 123456 and more. ";
    let text = part.repeat(3 * WINDOW / part.len());
    let found = find(&text);
    let count = |entity| found.iter().filter(|one| one.entity == entity).count();
    let parts = 3 * WINDOW / part.len();
    assert_eq!((count(Entity::Email), count(Entity::Phone)), (parts, parts));
}

/// Each place looks at a bounded number of words, whatever is around it: lists of numbers took
/// minutes.
#[test]
fn the_work_grows_with_the_length_of_the_text_alone() {
    for part in [
        "12 345 67 ",
        "1 2 3 4 5 ",
        "030 12 34 ",
        "x 12 tel 345-67 ",
        "+49 30 12 ",
        "(12) 34 ",
        "12345678901 ",
    ] {
        let looks = |bytes: usize| {
            let before = context::LOOKS.get();
            find(&part.repeat(bytes / part.len()));
            context::LOOKS.get() - before
        };
        let (short, long) = (looks(4_000), looks(16_000));
        assert!(long <= 5 * short + 1000, "{part}: {short} and {long}");
        assert!(long <= 1000 * 16_000, "{part}: {long}");
    }
    let lists = "12 345 67 8.9 ".repeat(1000);
    let before = context::LOOKS.get();
    find(&lists);
    assert_eq!(context::LOOKS.get(), before, "where no word is, none is looked for");
}

/// The golden corpus: `name<tab>text` lines; what is to be found is between `«` and `»`.
#[test]
fn the_labelled_corpus() {
    let mut wrong = Vec::new();
    for line in
        include_str!("../../testdata/sentences.txt").lines().filter(|line| !line.starts_with('#'))
    {
        let Some((name, marked)) = line.split_once('\t') else { panic!("`{line}`") };
        let text = marked.replace(['«', '»'], "");
        let expected = marked
            .find('«')
            .zip(marked.find('»'))
            .map(|(open, close)| open..close - '«'.len_utf8());
        let found = find(&text);
        let good = match expected {
            Some(range) => found.iter().any(|one| one.name() == name && one.range == range),
            None => found.iter().all(|one| one.entity == Entity::Date),
        };
        if !good {
            wrong.push(format!("{line}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        ordered(&text);
    }

    #[test]
    fn text_of_what_recognizers_look_for_is_read(
        text in "[0-9A-Za-z+()@:./ \\-,'\"_x#°年月日é\u{200b}０-９]{0,120}",
    ) {
        ordered(&text);
    }
}

fn ordered(text: &str) {
    let found = find(text);
    let mut end = 0;
    for one in found {
        assert!(one.range.start >= end && one.range.end > one.range.start, "{text:?}");
        assert!(text.get(one.range.clone()).is_some(), "{text:?}");
        end = one.range.end;
    }
    let _ = whole(text);
}

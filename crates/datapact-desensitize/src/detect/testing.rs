//! What the tests of all recognizers use.
#![allow(clippy::panic)]

use super::{Entity, Found};

pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    super::find(text, &Entity::ALL, &mut found);
    found
}

/// All of `text` is found as this.
pub(super) fn whole(text: &str, name: &str) {
    let found = find(text);
    assert!(
        found.iter().any(|one| one.name() == name && one.range == (0..text.len())),
        "`{text}` is {name}: {found:?}"
    );
}

/// Something in `text` is found as this.
pub(super) fn is(text: &str, name: &str) {
    let found = find(text);
    assert!(found.iter().any(|one| one.name() == name), "`{text}` has {name}: {found:?}");
}

/// Nothing in `text` is found as this.
pub(super) fn no(text: &str, name: &str) {
    let found = find(text);
    assert!(found.iter().all(|one| one.name() != name), "`{text}` has no {name}: {found:?}");
}

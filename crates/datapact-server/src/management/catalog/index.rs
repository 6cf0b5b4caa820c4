//! The catalog's index: the terms that a share is found by. Each term lists its shares in the order
//! of publication, so that a page is read from the list of the rarest term, whatever the catalog's
//! size.

use std::collections::BTreeSet;

use datapact_api::management::CatalogEntry;
use datapact_core::id::{ShareId, Timestamp};
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_core::terms::Industry;
use datapact_store::{Db, StoreError, Tx, Value, number, text};

/// How many different words of a share can be searched for, from its title on.
const INDEXED_WORDS_MAX: usize = 400;
/// The longest word that is told from others, in bytes.
const WORD_BYTES_MAX: usize = 64;
/// How many shares are taken out of the index at a time once they have expired.
const EXPIRED_BATCH: u64 = 500;
/// How many terms are written by one statement.
const TERMS_A_STATEMENT: usize = 200;

/// The term of every share that can be found.
pub(super) const ANY: &str = "*";

/// Words, in any case: runs of letters and digits.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| {
        let mut word = word.to_lowercase();
        while word.len() > WORD_BYTES_MAX {
            word.pop();
        }
        format!("w:{word}")
    })
}

/// What a share can be found by.
pub(super) fn terms_of(entry: &CatalogEntry, policy: &SharingPolicy) -> BTreeSet<String> {
    let information = &entry.information;
    let mut found = BTreeSet::new();
    for text in [&information.title, &information.usage, &information.introduction] {
        for word in words(text) {
            if found.len() < INDEXED_WORDS_MAX {
                found.insert(word);
            }
        }
    }
    found.insert(ANY.to_owned());
    found.insert(format!("r:{}", entry.provider.realm));
    found.insert(format!("p:{}", entry.provider));
    found.extend(information.categories.iter().map(|category| format!("c:{category}")));
    let open = |kind: &str, empty: bool| empty.then(|| format!("{kind}:{ANY}"));
    found.extend(open("n", policy.terms.countries.is_empty()));
    found.extend(open("i", policy.terms.industries.is_empty()));
    found.extend(policy.terms.countries.iter().map(|country| format!("n:{country}")));
    found.extend(policy.terms.industries.iter().map(|industry| format!("i:{industry}")));
    found
}

/// The terms under which a share that admits `industry` may be found.
pub(super) fn industries(industry: &Industry) -> Vec<String> {
    let text = industry.to_string();
    let (scheme, code) = text.split_once(':').unwrap_or_default();
    let prefixes = (1..=code.len()).filter_map(|end| code.get(..end)).map(str::to_owned);
    let sections = ('A'..='U').map(|section| section.to_string());
    let above = prefixes
        .chain(sections)
        .filter_map(|code| format!("{scheme}:{code}").parse::<Industry>().ok());
    let above = above.filter(|above| above.covers(industry)).map(|above| format!("i:{above}"));
    let all: BTreeSet<String> = above.chain([format!("i:{ANY}")]).collect();
    all.into_iter().collect()
}

/// Sets what the newest version of a share is found by.
pub(crate) fn index(
    tx: &Tx,
    entry: &CatalogEntry,
    policy: &SharingPolicy,
) -> Result<(), StoreError> {
    tx.run("DELETE FROM term WHERE share = $1", [text(entry.share)])?;
    let price = entry.information.price.as_ref();
    let values = [
        text(entry.share),
        number(policy.permission.not_before),
        price.map_or(Value::Null, |price| number(price.amount)),
        price.map_or(Value::Null, |price| text(&price.currency)),
    ];
    let sql =
        "UPDATE share SET indexed = 1, not_before = $2, price = $3, currency = $4 WHERE id = $1";
    tx.run(sql, values)?;
    // A revoked share cannot be found any more.
    if entry.state == ShareState::Revoked {
        return Ok(());
    }
    let terms: Vec<String> = terms_of(entry, policy).into_iter().collect();
    for part in terms.chunks(TERMS_A_STATEMENT) {
        let row = |term: &String| [text(entry.share), number(entry.event), text(term)];
        tx.insert("term (share, event, term)", part.iter().map(row).collect())?;
    }
    Ok(())
}

/// Shares in the index that have expired, as many as are removed at a time.
pub(super) fn expired(db: &Db, now: Timestamp) -> Result<Vec<ShareId>, StoreError> {
    let sql = "SELECT id FROM share WHERE indexed = 1 AND expires <= $1 LIMIT $2";
    db.rows(sql, [number(now), number(EXPIRED_BATCH)])?.iter().map(|row| row.parse(0)).collect()
}

/// Takes shares out of the index that have expired.
pub(super) fn remove(tx: &Tx, shares: &[ShareId], now: Timestamp) -> Result<(), StoreError> {
    for share in shares {
        // A version that was set since may expire later.
        let sql = "UPDATE share SET indexed = 2 WHERE id = $1 AND indexed = 1 AND expires <= $2";
        if tx.run(sql, [text(share), number(now)])? == 1 {
            tx.run("DELETE FROM term WHERE share = $1", [text(share)])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_industry_is_found_under_all_that_cover_it() {
        let of = |code: &str| industries(&code.parse().unwrap());
        assert_eq!(
            of("isic4:8610"),
            ["i:*", "i:isic4:86", "i:isic4:861", "i:isic4:8610", "i:isic4:Q"]
        );
        assert_eq!(of("isic4:Q"), ["i:*", "i:isic4:Q"]);
        assert_eq!(of("nace2:86.1"), ["i:*", "i:nace2:86", "i:nace2:86.1", "i:nace2:Q"]);
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let found: Vec<String> = words("Röntgen-Bilder, 100% (chest_images)").collect();
        assert_eq!(found, ["w:röntgen", "w:bilder", "w:100", "w:chest", "w:images"]);
    }
}

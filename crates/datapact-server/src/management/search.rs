//! The catalog's index and its search (MG-14): every share stands under the terms that one can look
//! for, each in the order of publication, so that a page is read from the index of the rarest term
//! whatever the catalog's size.

use std::collections::BTreeSet;

use datapact_api::management::CatalogFilter;
use datapact_api::management::{CatalogEntry, CatalogQuery};
use datapact_api::problem::Problem;
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_core::terms::Industry;
use sea_orm::{ConnectionTrait, Value};

use super::failure::{Failure, Result};
use super::schema::{number, row, rows, run, text};
use super::{Server, Session};

/// How many entries a search returns if not told.
const SEARCH_DEFAULT: u32 = 50;
/// How many at most.
const SEARCH_MAX: u32 = 100;
/// The longest search text, in bytes, and the most words in it.
const SEARCH_BYTES_MAX: usize = 200;
const SEARCH_WORDS_MAX: usize = 8;
/// How many different words of a share can be searched for, from its title on.
const INDEXED_WORDS_MAX: usize = 400;
/// The longest word that is told from others, in bytes.
const WORD_BYTES_MAX: usize = 64;
/// How far a term's shares are counted to find the rarest. Of those that have more, any will do: a
/// page is full before much more than this is read.
const COUNT_MAX: u64 = 4000;
/// How many shares are taken out of the index at a time once they have expired.
const EXPIRED_BATCH: u64 = 500;

/// The terms of every share that can be found.
const ANY: &str = "*";

/// Words, in any case: runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
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
fn terms_of(entry: &CatalogEntry, policy: &SharingPolicy) -> BTreeSet<String> {
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

/// The terms under which a share that admits `industry` may stand.
fn industries(industry: &Industry) -> Vec<String> {
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
pub(super) async fn index(
    on: &impl ConnectionTrait,
    entry: &CatalogEntry,
    policy: &SharingPolicy,
) -> Result<()> {
    run(on, "DELETE FROM term WHERE share = $1", [text(entry.share)]).await?;
    let price = entry.information.price.as_ref();
    let values = [
        text(entry.share),
        number(policy.permission.not_before),
        price.map(|price| i64::try_from(price.amount).unwrap_or(i64::MAX)).into(),
        price.map(|price| price.currency.clone()).into(),
    ];
    let sql =
        "UPDATE share SET indexed = 1, not_before = $2, price = $3, currency = $4 WHERE id = $1";
    run(on, sql, values).await?;
    // Nobody looks for what is gone for good.
    if entry.state == ShareState::Revoked {
        return Ok(());
    }
    let terms: Vec<String> = terms_of(entry, policy).into_iter().collect();
    for part in terms.chunks(200) {
        let mut values: Vec<Value> = vec![text(entry.share), number(entry.event)];
        let mut sql = "INSERT INTO term (share, event, term) VALUES ".to_owned();
        for (i, term) in part.iter().enumerate() {
            values.push(text(term));
            sql.push_str(if i == 0 { "" } else { ", " });
            sql.push_str(&format!("($1, $2, ${})", values.len()));
        }
        run(on, &sql, values).await?;
    }
    Ok(())
}

/// What a query asks for: of each group one term must hold.
struct Asked {
    groups: Vec<Vec<String>>,
}

impl Asked {
    fn of(query: &CatalogFilter) -> Result<Self> {
        let given = query.text.as_deref().unwrap_or_default();
        let mut groups: Vec<Vec<String>> = words(given).map(|word| vec![word]).collect();
        if given.len() > SEARCH_BYTES_MAX || groups.len() > SEARCH_WORDS_MAX {
            let detail = format!(
                "a search has at most {SEARCH_WORDS_MAX} words and {SEARCH_BYTES_MAX} bytes"
            );
            return Err(Problem::malformed(detail).into());
        }
        if groups.is_empty() && !given.trim().is_empty() {
            return Err(Problem::malformed("the text to search for holds no word").into());
        }
        // PostgreSQL takes no text with a zero byte.
        for (name, value) in [("realm", &query.realm), ("currency", &query.currency)] {
            if value.as_ref().is_some_and(|value| value.chars().any(char::is_control)) {
                return Err(Problem::malformed(format!("`{name}` has a control character")).into());
            }
        }
        groups.extend(query.category.iter().map(|category| vec![format!("c:{category}")]));
        groups.extend(query.realm.iter().map(|realm| vec![format!("r:{realm}")]));
        if let Some(provider) = &query.provider {
            let provider: Identity =
                provider.parse().map_err(|e| Problem::malformed(format!("`provider`: {e}")))?;
            groups.push(vec![format!("p:{provider}")]);
        }
        groups.extend(
            query.country.iter().map(|country| vec![format!("n:{country}"), format!("n:{ANY}")]),
        );
        groups.extend(query.industry.iter().map(industries));
        Ok(Self { groups })
    }

    /// Puts the rarest group first; every share stands under the group that asks for nothing.
    async fn order(&mut self, on: &impl ConnectionTrait) -> Result<()> {
        let mut rarest = (u64::MAX, 0);
        for (i, group) in self.groups.iter().enumerate() {
            let mut count = 0;
            for term in group {
                let sql =
                    "SELECT COUNT(*) FROM (SELECT 1 FROM term WHERE term = $1 LIMIT $2) AS found";
                if let Some(row) = row(on, sql, [text(term), number(COUNT_MAX)]).await? {
                    count += row.number(0)?;
                }
            }
            rarest = rarest.min((count, i));
        }
        if self.groups.is_empty() {
            self.groups.push(vec![ANY.to_owned()]);
        }
        let last = self.groups.len() - 1;
        self.groups.swap(0, rarest.1.min(last));
        Ok(())
    }
}

/// Tells whether a publication is what somebody looks for, as a search would.
pub(super) struct Matcher {
    asked: Asked,
    price_max: Option<u64>,
    currency: Option<String>,
}

impl Matcher {
    /// # Errors
    /// As a search for the same.
    pub(super) fn of(filter: &CatalogFilter) -> Result<Self> {
        let asked = Asked::of(filter)?;
        // What cannot be asked for is said by the search itself.
        statement_of(&asked, &filter.clone().into(), 0, SEARCH_DEFAULT)?;
        Ok(Self { asked, price_max: filter.price_max, currency: filter.currency.clone() })
    }

    /// Whether `entry`, published for `policy`, is it; states do not matter.
    pub(super) fn matches(&self, entry: &CatalogEntry, policy: &SharingPolicy) -> bool {
        let terms = terms_of(entry, policy);
        let within = match (&entry.information.price, self.price_max) {
            (None, _) | (_, None) => true,
            (Some(price), Some(max)) => match &self.currency {
                Some(currency) => price.currency == *currency && price.amount <= max,
                None => price.amount == 0,
            },
        };
        within
            && self.asked.groups.iter().all(|group| group.iter().any(|term| terms.contains(term)))
    }
}

/// Parameters as they are used.
#[derive(Default)]
struct Parameters(Vec<Value>);

impl Parameters {
    fn add(&mut self, value: Value) -> String {
        self.0.push(value);
        format!("${}", self.0.len())
    }
}

/// The statement of a search whose first group leads.
fn statement_of(
    asked: &Asked,
    query: &CatalogQuery,
    now: u64,
    limit: u32,
) -> Result<(String, Vec<Value>)> {
    let mut values = Parameters::default();
    let mut conditions = format!(" AND s.expires > {}", values.add(number(now)));
    if let Some(before) = query.before {
        conditions.push_str(&format!(" AND d.event < {}", values.add(number(before))));
    }
    if let Some(time) = query.valid_at {
        let time = values.add(number(time));
        conditions.push_str(&format!(" AND s.not_before <= {time} AND s.expires > {time}"));
    }
    match (query.filter.price_max, &query.filter.currency) {
        (None, None) => {}
        (Some(0), None) => conditions.push_str(" AND (s.price IS NULL OR s.price = 0)"),
        (Some(price), Some(currency)) => {
            let (price, currency) = (values.add(number(price)), values.add(text(currency)));
            let within = format!("(s.price <= {price} AND s.currency = {currency})");
            conditions.push_str(&format!(" AND (s.price IS NULL OR {within})"));
        }
        _ => {
            let detail =
                "`price_max` and `currency` go together; only a `price_max` of 0 needs no currency";
            return Err(Problem::malformed(detail).into());
        }
    }
    // An event is of one share. The index is walked in its order, so that what is looked up lies
    // near what was before; by their ids shares lie anywhere.
    for group in asked.groups.iter().skip(1) {
        let terms: Vec<String> = group.iter().map(|term| values.add(text(term))).collect();
        conditions.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM term t WHERE t.event = d.event AND t.term IN ({}))",
            terms.join(", ")
        ));
    }
    // One ordered range of the index for each alternative of the leading group.
    let mut ranges = Vec::new();
    for (i, term) in asked.groups.first().into_iter().flatten().enumerate() {
        let term = values.add(text(term));
        ranges.push(format!(
            "SELECT * FROM (SELECT d.event AS event, s.entry AS entry FROM term d CROSS JOIN share s \
             WHERE d.term = {term} AND s.id = d.share{conditions} ORDER BY d.event DESC LIMIT {limit}) AS q{i}"
        ));
    }
    let sql = format!("{} ORDER BY event DESC LIMIT {limit}", ranges.join(" UNION "));
    // `UNION` of one range would be no union; its own order stands.
    Ok((sql, values.0))
}

impl Session {
    /// Shares that are not revoked and not expired.
    pub(super) async fn search(&self, query: &CatalogQuery) -> Result<Vec<CatalogEntry>> {
        self.active_account().await?;
        let limit = query.limit.unwrap_or(SEARCH_DEFAULT);
        if !(1..=SEARCH_MAX).contains(&limit) {
            return Err(Problem::malformed(format!("`limit` must be 1 to {SEARCH_MAX}")).into());
        }
        let mut asked = Asked::of(&query.filter)?;
        let on = self.service.store.read();
        asked.order(on).await?;
        let (sql, values) = statement_of(&asked, query, self.service.now(), limit)?;
        let found = rows(on, sql, values).await?;
        Ok(found.iter().map(|row| row.json(1)).collect::<std::result::Result<_, _>>()?)
    }
}

impl Server {
    /// Indexes what an earlier version of this program has published.
    pub(super) async fn index_all(&self) -> Result<()> {
        let sql = "SELECT s.entry, p.document FROM share s JOIN policy p ON p.id = s.policy WHERE s.indexed = 0";
        for found in rows(self.store.read(), sql, []).await? {
            let (entry, policy): (CatalogEntry, Signed<SharingPolicy>) =
                (found.json(0)?, found.signed(1)?);
            self.store
                .write(move |tx| {
                    Box::pin(async move {
                        // A newer version, or another process, may have come before.
                        let sql = "SELECT 1 FROM share WHERE id = $1 AND indexed = 0";
                        match row(tx, sql, [text(entry.share)]).await? {
                            Some(_) => index(tx, &entry, policy.body()).await,
                            None => Ok(()),
                        }
                    })
                })
                .await?;
        }
        Ok(())
    }

    /// Takes expired shares out of the index.
    pub(super) async fn forget_expired(&self) -> Result<()> {
        let now = self.now();
        let values = [number(now), number(EXPIRED_BATCH)];
        let sql = "SELECT id FROM share WHERE indexed = 1 AND expires <= $1 LIMIT $2";
        let ids: Vec<String> = rows(self.store.read(), sql, values)
            .await?
            .iter()
            .map(|row| row.text(0))
            .collect::<std::result::Result<_, _>>()?;
        if ids.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for id in ids {
                        // A version that was set meanwhile may have made it longer.
                        let sql =
                            "UPDATE share SET indexed = 2 WHERE id = $1 AND indexed = 1 AND expires <= $2";
                        if run(tx, sql, [text(&id), number(now)]).await? == 1 {
                            run(tx, "DELETE FROM term WHERE share = $1", [text(&id)]).await?;
                        }
                    }
                    Ok::<_, Failure>(())
                })
            })
            .await
    }
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

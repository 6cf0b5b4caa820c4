//! Searching the catalog (MG-14).

use datapact_api::management::{CatalogEntry, CatalogFilter, CatalogQuery};
use datapact_api::problem::Problem;
use datapact_core::id::Timestamp;
use datapact_core::identity::Identity;
use datapact_core::policy::SharingPolicy;
use datapact_store::{Db, Value, number, text};

use super::index::{ANY, industries, terms_of, words};
use crate::management::failure::Result;

/// How many entries a search returns if not told.
const SEARCH_DEFAULT: u32 = 50;
/// How many at most.
const SEARCH_MAX: u32 = 100;
/// The longest search text, in bytes, and the most words in it.
const SEARCH_BYTES_MAX: usize = 200;
const SEARCH_WORDS_MAX: usize = 8;
/// How far a term's shares are counted to find the rarest. Of those that have more, any will do: a
/// page is full before much more than this is read.
const COUNT_MAX: u64 = 4000;

/// Shares that are neither revoked nor expired, newest first.
pub(super) fn search(db: &Db, query: &CatalogQuery, now: Timestamp) -> Result<Vec<CatalogEntry>> {
    let limit = query.limit.unwrap_or(SEARCH_DEFAULT);
    if !(1..=SEARCH_MAX).contains(&limit) {
        return Err(Problem::malformed(format!("`limit` must be 1 to {SEARCH_MAX}")).into());
    }
    let mut criteria = Criteria::of(&query.filter)?;
    criteria.order(db)?;
    let (sql, values) = statement_of(&criteria, query, now, limit)?;
    db.rows(sql, values)?.iter().map(|row| Ok(row.json(1)?)).collect()
}

/// What a search asks for: of each group one term must hold.
struct Criteria {
    groups: Vec<Vec<String>>,
}

impl Criteria {
    fn of(filter: &CatalogFilter) -> Result<Self> {
        let given = filter.text.as_deref().unwrap_or_default();
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
        for (name, value) in [("realm", &filter.realm), ("currency", &filter.currency)] {
            if value.as_ref().is_some_and(|value| value.chars().any(char::is_control)) {
                return Err(Problem::malformed(format!("`{name}` has a control character")).into());
            }
        }
        groups.extend(filter.category.iter().map(|category| vec![format!("c:{category}")]));
        groups.extend(filter.realm.iter().map(|realm| vec![format!("r:{realm}")]));
        if let Some(provider) = &filter.provider {
            let provider: Identity =
                provider.parse().map_err(|e| Problem::malformed(format!("`provider`: {e}")))?;
            groups.push(vec![format!("p:{provider}")]);
        }
        groups.extend(
            filter.country.iter().map(|country| vec![format!("n:{country}"), format!("n:{ANY}")]),
        );
        groups.extend(filter.industry.iter().map(industries));
        Ok(Self { groups })
    }

    /// Puts the rarest group first. Without any group, the term that all shares have leads.
    fn order(&mut self, db: &Db) -> Result<()> {
        let mut rarest = (u64::MAX, 0);
        for (i, group) in self.groups.iter().enumerate() {
            let mut count = 0;
            for term in group {
                let sql =
                    "SELECT COUNT(*) FROM (SELECT 1 FROM term WHERE term = $1 LIMIT $2) AS found";
                if let Some(row) = db.row(sql, [text(term), number(COUNT_MAX)])? {
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

/// Tells whether a search would find a publication.
pub(crate) struct Matcher {
    criteria: Criteria,
    price_max: Option<u64>,
    currency: Option<String>,
}

impl Matcher {
    /// # Errors
    /// As a search for the same.
    pub(crate) fn of(filter: &CatalogFilter) -> Result<Self> {
        let criteria = Criteria::of(filter)?;
        // The search itself says what it cannot look for.
        statement_of(&criteria, &CatalogQuery::from(filter.clone()), 0, SEARCH_DEFAULT)?;
        Ok(Self { criteria, price_max: filter.price_max, currency: filter.currency.clone() })
    }

    /// Whether the search would find `entry`, published for `policy`, in whatever state.
    pub(crate) fn matches(&self, entry: &CatalogEntry, policy: &SharingPolicy) -> bool {
        let terms = terms_of(entry, policy);
        let within = match (&entry.information.price, self.price_max) {
            (None, _) | (_, None) => true,
            (Some(price), Some(max)) => match &self.currency {
                Some(currency) => price.currency == *currency && price.amount <= max,
                None => price.amount == 0,
            },
        };
        within
            && self
                .criteria
                .groups
                .iter()
                .all(|group| group.iter().any(|term| terms.contains(term)))
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
    criteria: &Criteria,
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
    for group in criteria.groups.iter().skip(1) {
        let terms: Vec<String> = group.iter().map(|term| values.add(text(term))).collect();
        conditions.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM term t WHERE t.event = d.event AND t.term IN ({}))",
            terms.join(", ")
        ));
    }
    // One ordered range of the index for each alternative of the leading group.
    let mut ranges = Vec::new();
    for (i, term) in criteria.groups.first().into_iter().flatten().enumerate() {
        let term = values.add(text(term));
        ranges.push(format!(
            "SELECT * FROM (SELECT d.event AS event, s.entry AS entry \
             FROM term d CROSS JOIN share s WHERE d.term = {term} AND s.id = d.share{conditions} \
             ORDER BY d.event DESC LIMIT {limit}) AS q{i}"
        ));
    }
    let sql = format!("{} ORDER BY event DESC LIMIT {limit}", ranges.join(" UNION "));
    Ok((sql, values.0))
}

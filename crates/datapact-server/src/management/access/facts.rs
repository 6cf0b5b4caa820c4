//! What management knows of a request for access, besides what the ledger says: read for all
//! requests that wait with one statement, since it is read before each access.

use datapact_api::management::Account;
use datapact_api::problem::Problem;
use datapact_core::document::AccessRequest;
use datapact_core::id::{Digest, Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_store::{Db, Group, Row, Store, number, text};

use crate::management::account::table as account_table;
use crate::management::failure::{Failure, Result};
use crate::users::Marker;

/// What is known of a request for access.
#[derive(Clone, Default)]
pub(super) struct RequestFacts {
    /// The consumer's account.
    pub(super) account: Option<Account>,
    /// The request was recorded before.
    pub(super) is_recorded: bool,
    /// The share is there: its provider was not erased.
    pub(super) is_offered: bool,
    /// The consumer has accessed the share by an account that was erased.
    pub(super) had_erased_account: bool,
    /// The consumer's salt on the share, if one was drawn.
    pub(super) salt: Option<Salt>,
}

/// A request for access, by what its facts are found by.
struct Request {
    consumer: Identity,
    id: Digest,
    share: ShareId,
    /// Marks the consumer on the share if it was erased.
    mark: String,
}

/// Reads the facts of requests.
pub(super) struct FactsReader {
    marker: Marker,
    group: Group<Request, RequestFacts, Failure>,
}

impl FactsReader {
    pub(super) fn new(store: Store, marker: Marker) -> Self {
        Self { marker, group: Group::reading(store, read_all) }
    }

    /// The facts of `request`, made by `consumer`.
    pub(super) async fn of(
        &self,
        request: &Signed<AccessRequest>,
        consumer: &Identity,
    ) -> Result<RequestFacts> {
        let share = request.body().share;
        let mark = self.marker.on_share(consumer, &share);
        let (consumer, id) = (consumer.clone(), request.id());
        self.group.ask(Request { consumer, id, share, mark }).await
    }
}

fn read_all(db: &Db, requests: Vec<Request>) -> Result<Vec<Result<RequestFacts>>> {
    let given = |(n, request): (u64, &Request)| {
        let Request { consumer, id, share, mark } = request;
        [number(n), text(consumer), text(id), text(share), text(mark)]
    };
    let given: Vec<_> = (0..).zip(&requests).map(given).collect();
    let account = account_table::COLUMNS.split(", ").map(|column| format!("c.{column}"));
    let account = account.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {account}, \
         (SELECT COUNT(*) FROM access WHERE access.request = r.id), \
         (SELECT COUNT(*) FROM share WHERE share.id = r.share), \
         (SELECT COUNT(*) FROM tombstone t WHERE t.share = r.share AND t.mark = r.mark), \
         (SELECT salt FROM salt WHERE salt.share = r.share AND salt.identity = r.consumer), \
         r.n FROM r JOIN account c ON c.identity = r.consumer"
    );
    // Those without an account have no row: nothing else is asked of them.
    let mut facts: Vec<Result<RequestFacts>> =
        requests.iter().map(|_| Ok(RequestFacts::default())).collect();
    for row in db.rows_joined("r (n, consumer, id, share, mark)", &given, &sql)? {
        let n = usize::try_from(row.number(11)?).ok();
        if let Some(facts) = n.and_then(|n| facts.get_mut(n)) {
            *facts = facts_of(&row);
        }
    }
    Ok(facts)
}

fn facts_of(row: &Row) -> Result<RequestFacts> {
    // The account is in columns 0 to 6.
    let any = |column| row.number(column).map(|count| count > 0);
    Ok(RequestFacts {
        is_recorded: any(7)?,
        is_offered: any(8)?,
        had_erased_account: any(9)?,
        // Not `optional_parse`, whose error would show the salt.
        salt: row.optional_text(10)?.map(|salt| salt.parse()).transpose().map_err(|_| damaged())?,
        account: Some(account_table::read(row)?),
    })
}

fn damaged() -> Problem {
    Problem::internal("a salt is not what was stored")
}

//! What a server reports: calls that were refused, deeds of administrators, and changes of what it
//! trusts. Nothing is read out of a problem's words.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use datapact_api::gate::{Check, STATEMENT_HEADER, Source};
use datapact_api::operation::{Operation, Who};
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::problem::Code;
use datapact_api::trust_file::POLL;
use datapact_core::id::Digest;
use datapact_core::trust::Trust;

use super::{Event, Kind, SecurityLog};

/// What the middleware needs.
pub(crate) struct Watch {
    pub(crate) log: SecurityLog,
    /// All that the server offers.
    pub(crate) operations: Vec<&'static Operation>,
}

/// The middleware that reports.
pub(crate) async fn watch(
    State(watch): State<Arc<Watch>>,
    request: Request,
    next: Next,
) -> Response {
    let identity = request.extensions().get::<AuthenticatedPeer>();
    let identity = identity.map(|peer| peer.identity.to_string());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let method = request.method().clone();
    let operation = route.and_then(|route| {
        let all = watch.operations.iter().copied();
        all.into_iter().find(|operation| operation.serves(method.as_str(), route))
    });
    let statement = request.headers().get(STATEMENT_HEADER).map(|text| Digest::of(text.as_bytes()));
    let response = next.run(request).await;
    let Some(kind) = kind_of(&response, operation, &method) else { return response };
    watch.log.report(Event {
        identity,
        operation: operation.map(|operation| operation.name),
        reason: response.extensions().get::<Code>().map(|code| code.0),
        statement: statement.filter(|_| !kind.is_warning()),
        ..Event::new(kind)
    });
    response
}

/// What the answer to a call is to the log, if anything.
fn kind_of(response: &Response, operation: Option<&Operation>, method: &Method) -> Option<Kind> {
    let check = response.extensions().get::<Check>();
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(match check {
            Some(Check::Certificate) => Kind::LoginRefused,
            Some(Check::AccessList) => Kind::NotAdmitted,
            Some(Check::Statement) => Kind::StatementRefused,
            None => Kind::CallRefused,
        }),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Some(Kind::LimitReached),
        status if status.is_success() && *method != Method::GET => {
            let operation = operation?;
            let is_deed = operation.who == Who::Administrators;
            let is_revocation = operation.name == "revoke_token";
            match (is_deed, is_revocation) {
                (true, _) => Some(Kind::AdministratorDeed),
                (false, true) => Some(Kind::TokenRevoked),
                (false, false) => None,
            }
        }
        _ => None,
    }
}

/// Reports, for as long as the server lives, when other CAs are trusted or a realm has another
/// revocation list.
pub(crate) async fn watch_trust(log: SecurityLog, trust: Source<Trust>) {
    let mut before = digests(&trust());
    loop {
        tokio::time::sleep(POLL).await;
        let now = digests(&trust());
        if now == before {
            continue;
        }
        for (realm, (cas, lists)) in &now {
            let (cas_before, lists_before) = before.get(realm).copied().unzip();
            if cas_before != Some(*cas) {
                let realm = Some(realm.clone());
                log.report(Event { realm, ..Event::new(Kind::TrustChanged) });
            }
            if lists_before.is_some_and(|before| before != *lists) {
                let realm = Some(realm.clone());
                log.report(Event { realm, ..Event::new(Kind::RevocationListRead) });
            }
        }
        for realm in before.keys().filter(|realm| !now.contains_key(*realm)) {
            let realm = Some(realm.clone());
            log.report(Event { realm, ..Event::new(Kind::TrustChanged) });
        }
        before = now;
    }
}

/// Digests of each realm's CAs and revocation lists.
fn digests(trust: &Trust) -> BTreeMap<String, (Digest, Digest)> {
    let of = |realm: &str| {
        let cas: Vec<u8> = trust.cas(realm).flat_map(|der| der.to_vec()).collect();
        let lists: Vec<u8> = trust.crls(realm).flat_map(|der| der.to_vec()).collect();
        (Digest::of(&cas), Digest::of(&lists))
    };
    trust.realms().map(|realm| (realm.to_owned(), of(realm))).collect()
}

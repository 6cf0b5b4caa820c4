//! Which of management's tables name people (PR-1).

use crate::erasures::personal::{By, Part, Personal, Remains};

/// Who provides the share of the row.
const PROVIDER: By = By::User("(SELECT s.provider FROM share s WHERE s.id = t.share)");

/// The tables that name people. All others are copied into backups as they are.
pub(crate) const PERSONAL: &[Personal] = &[
    Personal::rows("account", &[By::User("t.identity")]),
    Personal {
        part: Some(Part {
            column: "statement",
            of: By::User("(SELECT a.identity FROM account a WHERE a.id = t.actor)"),
            emptied: None,
        }),
        ..Personal::rows("action", &[])
    },
    Personal::rows("enrolment_signature", &[By::User("t.signer")]),
    Personal::rows("notice", &[By::User("t.identity")]),
    Personal::rows("policy", &[By::User("t.provider")]),
    Personal::rows("share", &[By::User("t.provider")]),
    Personal::rows("publication", &[PROVIDER]),
    Personal::rows("term", &[PROVIDER]),
    of_consumer("access"),
    of_consumer("usage"),
    Personal::rows("erasure", &[By::User("t.provider")]),
    Personal::rows("salt", &[By::User("t.identity")]),
    Personal::rows("salt_later", &[By::User("t.identity")]),
    Personal::rows("intent", &[By::Documents("t.documents")]),
    Personal::rows("notification", &[By::User("t.holder"), By::User("t.subject")]),
    Personal::rows("subscription", &[By::User("t.holder")]),
];

/// Records of what consumers did: they go with the consumer, and the provider learns that they are
/// erased. An erased provider only leaves its name out of them.
const fn of_consumer(table: &'static str) -> Personal {
    Personal {
        part: Some(Part { column: "provider", of: By::User("t.provider"), emptied: None }),
        remains: Some(Remains {
            columns: &["position", "share"],
            sql: "INSERT INTO erasure (position, share, provider, time) \
                  SELECT CAST($1 AS BIGINT), s.id, s.provider, CAST($3 AS BIGINT) FROM share s \
                  WHERE s.id = $2 ON CONFLICT (position) DO NOTHING",
        }),
        ..Personal::rows(table, &[By::User("t.consumer")])
    }
}

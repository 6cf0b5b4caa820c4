//! Management's database.

use datapact_store::Migration;

use super::{
    access, account, catalog, enrolment, notice, notification, policy, salt, submit, subscription,
};

/// The database, in the data folder.
pub(crate) const DATABASE_FILE: &str = "management.sqlite";

/// All tables in management's database.
pub(crate) fn schema() -> Vec<Migration> {
    let own = [
        crate::users::MARKS,
        account::table::SCHEMA,
        enrolment::table::SCHEMA,
        notice::SCHEMA,
        salt::SCHEMA,
        crate::erasures::SCHEMA,
        policy::table::SCHEMA,
        access::table::SCHEMA,
        submit::SCHEMA,
        catalog::table::SCHEMA,
        notification::table::SCHEMA,
        subscription::table::SCHEMA,
    ];
    [datapact_ledger::tables::MIGRATIONS, &own].concat()
}

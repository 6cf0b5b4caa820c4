//! What is left at the key server of the releases to erased users.

use std::collections::BTreeMap;

use datapact_api::key_server::ErasedRelease;
use datapact_core::contract::AccessRecord;
use datapact_core::document::{ReleaseErasure, Statement};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;

use super::FindingKind;
use super::evidence::Audit;
use super::on_ledger::OnLedger;

/// A release of a key, or what is left of it.
pub(super) struct Released {
    /// When the key was first released for the access.
    pub(super) time: Timestamp,
    /// Whether the key server has erased who it was.
    pub(super) is_erased: bool,
    /// Who asked for that.
    pub(super) erased_by: Option<Identity>,
}

impl Audit<'_> {
    /// Each erased release is the key server's own statement too, of an access on the ledger, and
    /// of an erasure that a known user asked for.
    pub(super) fn erased_releases(
        &mut self,
        key_server: &str,
        erased: &[ErasedRelease],
        ledger: &OnLedger,
        released: &mut BTreeMap<Digest, Released>,
    ) {
        for ErasedRelease { erasure, statement } in erased {
            let said = erasure.body();
            let request = said.request;
            let is_recorded = |(_, record): &(u64, AccessRecord)| record.request.request == request;
            if !ledger.accesses.iter().any(is_recorded) {
                let detail =
                    "the key server released the key for an access that the ledger does not have";
                self.find(FindingKind::ReleaseWithoutRecord, Some(request), detail);
                continue;
            }
            match self.erased_release(erasure, statement.as_ref(), key_server) {
                Ok(()) => {
                    let erased_by = statement.as_ref().map(|statement| statement.signer().clone());
                    let time = said.released;
                    released.insert(request, Released { time, is_erased: true, erased_by });
                }
                Err(reason) => {
                    self.find(FindingKind::UnauthorisedErasure, Some(request), reason);
                }
            }
        }
    }

    fn erased_release(
        &self,
        erasure: &Signed<ReleaseErasure>,
        statement: Option<&Signed<Statement>>,
        name: &str,
    ) -> std::result::Result<(), String> {
        erasure
            .verify(self.trust, self.ledger_id, erasure.document().time)
            .map_err(|e| e.to_string())?;
        if *erasure.signer() != Identity::server(name) {
            return Err("another than the key server states the erasure".to_owned());
        }
        if erasure.body().share != self.share {
            return Err("the erased release is of another share".to_owned());
        }
        let Some(statement) = statement else { return Ok(()) };
        let (to, time) = (&statement.document().audience, statement.document().time);
        statement.verify(self.trust, to, time).map_err(|e| e.to_string())?;
        if statement.id() != erasure.body().statement {
            return Err("the erasure was asked for by another statement".to_owned());
        }
        Ok(())
    }
}

//! What a call would do now: asked of a node before a transaction is made for it, since a refused
//! call is not worth one, and a repeat gets its first receipt.

use alloy::primitives::{Address, Bytes};
use datapact_core::contract::{Call, Refusal};
use datapact_ledger::LedgerError;
use datapact_ledger::port::{Event, LedgerReceipt};

use super::{FINALITY_TIMEOUT, Inner, TRIES};
use crate::abi::{self, Revert};
use crate::contract;
use crate::submit::Submitter;

/// What a call would do now.
pub(super) enum Trial {
    /// It would be recorded.
    Change,
    /// It is recorded already.
    Repeat,
}

impl Inner {
    /// What the call would do at the newest block.
    pub(super) async fn trial(
        &self,
        submitter: &Submitter,
        call: &Call,
        to: Address,
        input: &Bytes,
    ) -> Result<Trial, LedgerError> {
        let account = submitter.account().await?;
        // Before the trial: what it rests on is at least as new.
        let seen = self.chain.newest();
        let mut answer = self.rpc.view(Some(account), to, input).await;
        if matches!(&answer, Ok(output) if output.is_empty()) {
            // There is no such share yet: the address of its future contract answers nothing, and
            // the contract that all shares' contracts are clones of refuses in its stead.
            answer = self.rpc.view(Some(account), self.config.implementation, input).await;
        }
        match answer {
            Ok(output) => match abi::repeated(call, &output) {
                Ok(false) => Ok(Trial::Change),
                Ok(true) => Ok(Trial::Repeat),
                Err(error) => Err(LedgerError::Unavailable(error.to_string())),
            },
            Err(error) => match error.reverted().map(|data| abi::revert(&data)) {
                Some(Revert::Refused(refusal)) => {
                    self.not_behind(seen).await?;
                    Err(refusal.into())
                }
                Some(Revert::NotSubmitter(account)) => {
                    Err(contract::not_submitter(&self.config, account))
                }
                Some(Revert::Other) => {
                    Err(Refusal::Malformed { detail: "the contract cannot read it".to_owned() }
                        .into())
                }
                None => Err(error.into()),
            },
        }
    }

    /// A node that does not have the block `seen` yet, which another had, refuses for want of what
    /// is in it: the contract itself may not refuse.
    async fn not_behind(&self, seen: Option<u64>) -> Result<(), LedgerError> {
        let newest = self.rpc.latest().await?.number;
        match seen {
            Some(seen) if newest < seen => Err(LedgerError::Unavailable(format!(
                "the node at `{}` is behind: it has {newest} blocks, and {seen} were seen",
                self.rpc.preferred()
            ))),
            _ => Ok(()),
        }
    }

    /// The first receipt of a call that is on the chain already.
    pub(super) async fn first_receipt(&self, call: &Call) -> Result<LedgerReceipt, LedgerError> {
        let missing = || {
            LedgerError::Unavailable(
                "the node does not find the event of a call that is on the chain".to_owned(),
            )
        };
        let topics = abi::topics(call);
        let mut event = self.chain.find(&topics).await?.ok_or_else(missing)?;
        for _ in 0..TRIES {
            self.chain.finality(event.position, FINALITY_TIMEOUT).await?;
            // Before its block was final, it may have got another place.
            let found = self.chain.find(&topics).await?.ok_or_else(missing)?;
            if found == event {
                return Ok(self.receipt(event));
            }
            event = found;
        }
        Err(LedgerError::Unavailable(
            "the chain changes faster than the call can follow".to_owned(),
        ))
    }

    pub(super) fn receipt(&self, event: Event) -> LedgerReceipt {
        let address = self.caip10(self.share_address(event.receipt.share()));
        LedgerReceipt { address, position: event.position, receipt: event.receipt }
    }
}

/// More than the call can need: what is not used costs nothing.
pub(super) fn gas(call: &Call) -> u64 {
    match call {
        Call::SetPolicy(set) => {
            let terms = &set.terms;
            let names = terms.organisations.len() + terms.purposes.len();
            let values = terms.users.len() + terms.industries.len() + terms.countries.len() + names;
            700_000 + 60_000 * values as u64
        }
        Call::RequestAccess(_) => 400_000,
        Call::RecordUsage(_) => 250_000,
    }
}

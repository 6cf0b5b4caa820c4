//! Who calls management.

use datapact_api::peer::AuthenticatedPeer;

use super::*;
use crate::called::Called;

/// A user: signs documents, and calls with its certificate.
pub(super) struct User {
    pub(super) signer: Signer,
}

impl User {
    pub(super) fn caller(&self) -> Caller {
        let chain = self.signer.chain().to_vec();
        let certificate = Digest::of(&chain[0]);
        let statement = Some(Arc::from(format!("a statement by {}", self.identity())));
        Caller {
            peer: AuthenticatedPeer { identity: self.identity(), chain, certificate },
            statement,
            idempotency_key: None,
            if_match: None,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        self.signer.identity().clone()
    }
}

/// Management as one caller sees it.
pub(super) struct As {
    pub(super) management: Arc<ManagementServer>,
    pub(super) caller: Caller,
}

impl As {
    pub(super) fn accounts(&self) -> Called<AccountService> {
        self.called(&self.management.services.accounts)
    }

    pub(super) fn policies(&self) -> Called<PolicyService> {
        self.called(&self.management.services.policies)
    }

    pub(super) fn accesses(&self) -> Called<AccessService> {
        self.called(&self.management.services.accesses)
    }

    pub(super) fn tokens(&self) -> Called<TokenService> {
        self.called(&self.management.services.tokens)
    }

    pub(super) fn catalog(&self) -> Called<CatalogService> {
        self.called(&self.management.services.catalog)
    }

    pub(super) fn subscriptions(&self) -> Called<SubscriptionService> {
        self.called(&self.management.services.subscriptions)
    }

    pub(super) fn notifications(&self) -> Called<NotificationService> {
        self.called(&self.management.services.notifications)
    }

    pub(super) fn log(&self) -> Called<LogService> {
        self.called(&self.management.services.log)
    }

    fn called<S>(&self, service: &Arc<S>) -> Called<S> {
        called(service)(self.caller.clone())
    }
}

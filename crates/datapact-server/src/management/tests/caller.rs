//! Who calls management.

use datapact_api::peer::AuthenticatedPeer;

use super::*;
use crate::called::{Called, called};
use crate::management::access::AccessService;
use crate::management::account::AccountService;
use crate::management::catalog::CatalogService;
use crate::management::enrolment::EnrolmentService;
use crate::management::log::LogService;
use crate::management::notification::NotificationService;
use crate::management::policy::PolicyService;
use crate::management::subscription::SubscriptionService;
use crate::management::token::TokenService;

/// A user: signs documents, and calls with its certificate.
pub(crate) struct User {
    pub(crate) signer: Signer,
}

impl User {
    pub(crate) fn caller(&self) -> Caller {
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

    pub(crate) fn identity(&self) -> Identity {
        self.signer.identity().clone()
    }
}

/// Management as one caller sees it.
pub(crate) struct As {
    pub(crate) management: Arc<ManagementServer>,
    pub(crate) caller: Caller,
}

impl As {
    pub(crate) fn accounts(&self) -> Called<AccountService> {
        self.called(&self.management.services.accounts)
    }

    pub(crate) fn enrolments(&self) -> Called<EnrolmentService> {
        self.called(&self.management.services.enrolments)
    }

    pub(crate) fn policies(&self) -> Called<PolicyService> {
        self.called(&self.management.services.policies)
    }

    pub(crate) fn accesses(&self) -> Called<AccessService> {
        self.called(&self.management.services.accesses)
    }

    pub(crate) fn tokens(&self) -> Called<TokenService> {
        self.called(&self.management.services.tokens)
    }

    pub(crate) fn catalog(&self) -> Called<CatalogService> {
        self.called(&self.management.services.catalog)
    }

    pub(crate) fn subscriptions(&self) -> Called<SubscriptionService> {
        self.called(&self.management.services.subscriptions)
    }

    pub(crate) fn notifications(&self) -> Called<NotificationService> {
        self.called(&self.management.services.notifications)
    }

    pub(crate) fn log(&self) -> Called<LogService> {
        self.called(&self.management.services.log)
    }

    fn called<S>(&self, service: &Arc<S>) -> Called<S> {
        called(service)(self.caller.clone())
    }
}

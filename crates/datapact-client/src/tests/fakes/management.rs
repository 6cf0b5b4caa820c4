//! Management, as Bob sees it.

use super::*;

#[async_trait]
impl Accounts for Fake {
    async fn join(&self, _: &Join) -> Result<Account> {
        not_here()
    }
    async fn account(&self) -> Result<Account> {
        not_here()
    }
    async fn invite(&self, _: &NewInvitation) -> Result<InvitationCode> {
        not_here()
    }
    async fn accounts(&self, _: Page<AccountId>) -> Result<Vec<Account>> {
        not_here()
    }
    async fn account_of(&self, _: &AccountId) -> Result<Account> {
        not_here()
    }
    async fn update_account(&self, _: &AccountId, _: &AccountUpdate) -> Result<Account> {
        not_here()
    }
    async fn delete_account(&self, _: &AccountId, _: &Deletion) -> Result<Account> {
        not_here()
    }
    async fn actions(&self, _: Page<u64>) -> Result<Vec<Action>> {
        not_here()
    }
}

#[async_trait]
impl Enrolments for Fake {
    async fn enrolments(&self, _: Page<u64>) -> Result<Vec<Version>> {
        not_here()
    }
    async fn enrolment_draft(&self) -> Result<EnrolmentDraft> {
        not_here()
    }
    async fn sign_enrolment(&self, _: &Signed<Enrolment>) -> Result<EnrolmentProgress> {
        not_here()
    }
}

#[async_trait]
impl Policies for Fake {
    async fn set_policy(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyReceipt> {
        let owner = opening(policy.signer());
        let call = Call::of_policy(policy, &owner, &[]).unwrap();
        *self.0.entries.lock().unwrap() = vec![Entry::new(call, now()).to_bytes().unwrap()];
        let receipt = PolicyReceipt {
            share: policy.body().share,
            version: policy.body().version,
            policy: policy.id(),
            contract: "contract".to_owned(),
            position: 0,
            owner,
            users: Vec::new(),
        };
        Ok(turn(&self.0.lies.policy_receipt, receipt))
    }
    async fn shares(&self, _: Page<u64>) -> Result<Vec<OwnShare>> {
        Ok(Vec::new())
    }
    async fn share(&self, id: &ShareId) -> Result<OwnShare> {
        Err(Problem::not_found(format!("you have no share `{id}`")))
    }
}

#[async_trait]
impl Catalog for Fake {
    async fn catalog(&self, _: &CatalogQuery) -> Result<Vec<CatalogEntry>> {
        not_here()
    }
    async fn catalog_entry(&self, share: &ShareId, _: &Purpose) -> Result<CatalogDetail> {
        let policy = self.0.policy.lock().unwrap().clone();
        let body = policy.body();
        let entry = CatalogEntry {
            event: 1,
            share: *share,
            version: body.version,
            policy: policy.id(),
            contract: "contract".to_owned(),
            state: body.state,
            provider: policy.signer().clone(),
            information: body.information.clone(),
            expires: body.permission.expires,
        };
        let detail = CatalogDetail { entry, policy: Some(policy), granted: 0, refusal: None };
        Ok(turn(&self.0.lies.detail, detail))
    }
    async fn publications(&self, _: Option<u64>) -> Result<Publications> {
        not_here()
    }
}

#[async_trait]
impl Subscriptions for Fake {
    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        not_here()
    }
    async fn subscription(&self, _: &SubscriptionId) -> Result<Subscription> {
        not_here()
    }
    async fn set_subscription(
        &self,
        _: &SubscriptionId,
        _: &NewSubscription,
    ) -> Result<Subscription> {
        not_here()
    }
    async fn delete_subscription(&self, _: &SubscriptionId) -> Result<()> {
        not_here()
    }
    async fn follow_subscription(
        &self,
        _: &SubscriptionId,
        _: Option<u64>,
    ) -> Result<Publications> {
        not_here()
    }
    async fn dead_letters(&self, _: &SubscriptionId, _: Page<u64>) -> Result<Vec<DeadLetter>> {
        not_here()
    }
    async fn redeliver(&self, _: &SubscriptionId, _: &Redelivery) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Accesses for Fake {
    async fn request_access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let policy = self.0.policy.lock().unwrap().clone();
        let consumer = opening(request.signer());
        let terms = Terms { anyone: true, ..Terms::default() };
        let call = Call::of_request(request, &consumer, &Attributes::default(), &terms).unwrap();
        let time = now();
        *self.0.entries.lock().unwrap() = vec![Entry::new(call.clone(), time).to_bytes().unwrap()];
        let Call::RequestAccess(asked) = call else { return not_here() };
        let record = AccessRecord { request: asked, access: 1, time };
        let grant = AccessGrant {
            token: "token".to_owned(),
            permission: RequestedPermission::of(policy.body(), policy.id(), &record).unwrap(),
            policy,
            contract: "contract".to_owned(),
            position: 0,
            record,
            consumer,
            key_server_certificate: self.0.key_chain.clone(),
            storage_server_certificate: self.0.storage_chain.clone(),
        };
        Ok(turn(&self.0.lies.grant, grant))
    }
    async fn accesses(&self, _: &RecordQuery) -> Result<Vec<AccessEntry>> {
        not_here()
    }
    async fn report_usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt> {
        let Call::RecordUsage(usage) = Call::of_report(report, &opening(report.signer())).unwrap()
        else {
            return not_here();
        };
        let receipt = UsageReceipt { position: 1, record: UsageRecord { usage, time: now() } };
        Ok(turn(&self.0.lies.usage, receipt))
    }
    async fn usages(&self, _: &RecordQuery) -> Result<Vec<UsageEntry>> {
        not_here()
    }
    async fn erasures(&self, _: &RecordQuery) -> Result<Vec<Erasure>> {
        not_here()
    }
}

#[async_trait]
impl Notifications for Fake {
    async fn notifications(&self, _: &NotificationQuery) -> Result<Vec<Notification>> {
        not_here()
    }
    async fn acknowledge(&self, _: &Acknowledged) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Log for Fake {
    async fn info(&self) -> Result<ManagementInfo> {
        not_here()
    }
    async fn proof(&self, _: u64) -> Result<LedgerProof> {
        let proof = self.0.prove(&self.0.entries.lock().unwrap()[0], true);
        Ok(turn(&self.0.lies.proof, proof))
    }
    async fn add_cosignature(&self, _: &str) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Tokens for Fake {
    async fn introspect(&self, _: &TokenForm) -> Result<Introspection> {
        not_here()
    }
    async fn token(&self, _: &Digest) -> Result<Introspection> {
        not_here()
    }
    async fn revoke_token(&self, _: &Digest) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Public for Fake {
    async fn health(&self) -> Result<Health> {
        not_here()
    }
    async fn crl(&self, realm: &str) -> Result<String> {
        let crl = self.0.crl.lock().unwrap().get(realm).cloned();
        crl.ok_or_else(|| Problem::not_found("no list"))
    }
}

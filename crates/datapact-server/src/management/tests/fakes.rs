//! A key server and a storage server that only remember.

use datapact_api::key_server::{
    ErasedRelease, Keys, ReleaseEntry, ReleaseKey, ReleasedKey, Releases, ShownPolicies, StoreKey,
    TokenRevocation, Withhold,
};
use datapact_api::storage_server::{
    ByteRange, ByteStream, Download, Packages, Part, UploadOffset, Uploads,
};
use datapact_api::user::Users;

use super::*;

/// A key server that remembers keys and shown policies.
#[derive(Default)]
pub(crate) struct FakeKeys {
    pub(crate) keys: Mutex<HashMap<KeyId, (Identity, KeyStatus)>>,
    pub(crate) shown: Mutex<Vec<ShownPolicy>>,
    pub(crate) told: Mutex<Vec<UserNotice>>,
    pub(crate) revoked: Mutex<Vec<TokenRevocation>>,
    pub(crate) away: Mutex<Option<Problem>>,
}

/// A storage server that remembers what is stored.
#[derive(Default)]
pub(crate) struct FakeStorage {
    pub(crate) packages: Mutex<HashMap<PackageId, PackageStatus>>,
    pub(crate) told: Mutex<Vec<UserNotice>>,
}

fn not_used<T>() -> problem::Result<T> {
    Err(Problem::internal("not used by management"))
}

#[async_trait]
impl Keys for FakeKeys {
    async fn register_key(&self) -> problem::Result<KeyReference> {
        not_used()
    }
    async fn store_key(&self, _: &KeyId, _: &StoreKey) -> problem::Result<KeyStatus> {
        not_used()
    }
    async fn key_status(&self, id: &KeyId) -> problem::Result<KeyStatus> {
        if let Some(problem) = self.away.lock().unwrap().clone() {
            return Err(problem);
        }
        let keys = self.keys.lock().unwrap();
        keys.get(id)
            .map(|(_, status)| status.clone())
            .ok_or_else(|| Problem::not_found("no such key"))
    }
    async fn keys(&self, _: Page<KeyId>) -> problem::Result<Vec<KeyStatus>> {
        not_used()
    }
    async fn delete_key(&self, _: &KeyId) -> problem::Result<()> {
        not_used()
    }
}

#[async_trait]
impl ShownPolicies for FakeKeys {
    async fn show_policy(&self, shown: &ShownPolicy) -> problem::Result<()> {
        if let Some(problem) = self.away.lock().unwrap().clone() {
            return Err(problem);
        }
        let key = &shown.policy.body().information.key.id;
        let keys = self.keys.lock().unwrap();
        let (owner, _) = keys.get(key).ok_or_else(|| Problem::not_found("no such key"))?;
        if owner != shown.policy.signer() {
            return Err(Problem::forbidden("the key is another provider's"));
        }
        self.shown.lock().unwrap().push(shown.clone());
        Ok(())
    }
    async fn withhold(&self, _: &Withhold) -> problem::Result<()> {
        not_used()
    }
}

#[async_trait]
impl Releases for FakeKeys {
    async fn release(&self, _: &KeyId, _: &ReleaseKey) -> problem::Result<ReleasedKey> {
        not_used()
    }
    async fn releases(&self, _: &ShareId, _: Page<Digest>) -> problem::Result<Vec<ReleaseEntry>> {
        not_used()
    }
    async fn erased_releases(
        &self,
        _: &ShareId,
        _: Page<Digest>,
    ) -> problem::Result<Vec<ErasedRelease>> {
        not_used()
    }
    async fn revoke_token(&self, revocation: &TokenRevocation) -> problem::Result<()> {
        if let Some(problem) = self.away.lock().unwrap().clone() {
            return Err(problem);
        }
        self.revoked.lock().unwrap().push(revocation.clone());
        Ok(())
    }
}

#[async_trait]
impl Users for FakeKeys {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        if let Some(problem) = self.away.lock().unwrap().clone() {
            return Err(problem);
        }
        self.told.lock().unwrap().push(notice.clone());
        Ok(())
    }
}

#[async_trait]
impl Packages for FakeStorage {
    async fn register_package(&self) -> problem::Result<PackageAddress> {
        not_used()
    }
    async fn package_status(&self, id: &PackageId) -> problem::Result<PackageStatus> {
        let packages = self.packages.lock().unwrap();
        packages.get(id).cloned().ok_or_else(|| Problem::not_found("no such package"))
    }
    async fn download(&self, _: &PackageId, _: Option<ByteRange>) -> problem::Result<Download> {
        not_used()
    }
    async fn packages(&self, _: Page<PackageId>) -> problem::Result<Vec<PackageStatus>> {
        not_used()
    }
    async fn delete_package(&self, id: &PackageId) -> problem::Result<()> {
        let gone = self.packages.lock().unwrap().remove(id);
        gone.map(drop).ok_or_else(|| Problem::not_found("no such package"))
    }
}

#[async_trait]
impl Uploads for FakeStorage {
    async fn upload(&self, _: &PackageId, _: u64, _: ByteStream) -> problem::Result<PackageStatus> {
        not_used()
    }
    async fn upload_offset(&self, _: &PackageId) -> problem::Result<UploadOffset> {
        not_used()
    }
    async fn append(
        &self,
        _: &PackageId,
        _: &Part,
        _: ByteStream,
    ) -> problem::Result<PackageStatus> {
        not_used()
    }
}

#[async_trait]
impl Users for FakeStorage {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        self.told.lock().unwrap().push(notice.clone());
        Ok(())
    }
}

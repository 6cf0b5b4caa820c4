//! The key server and the storage server, as Bob sees them.

use super::*;

#[async_trait]
impl Keys for Fake {
    async fn register_key(&self) -> Result<KeyReference> {
        let id = KeyId([2; 16]);
        let key = KeyReference { id, address: format!("https://keys.example:1/v1/keys/{id}") };
        Ok(turn(&self.0.lies.key, key))
    }
    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> Result<KeyStatus> {
        Ok(KeyStatus {
            key: KeyReference { id: *id, address: format!("https://keys.example:1/v1/keys/{id}") },
            stored: true,
            share: Some(key.share),
            package: Some(key.package),
        })
    }
    async fn key_status(&self, _: &KeyId) -> Result<KeyStatus> {
        not_here()
    }
    async fn keys(&self, _: Page<KeyId>) -> Result<Vec<KeyStatus>> {
        not_here()
    }
    async fn delete_key(&self, _: &KeyId) -> Result<()> {
        self.0.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl ShownPolicies for Fake {
    async fn show_policy(&self, _: &ShownPolicy) -> Result<()> {
        not_here()
    }
    async fn withhold(&self, _: &Withhold) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Releases for Fake {
    async fn release(&self, id: &KeyId, asked: &ReleaseKey) -> Result<ReleasedKey> {
        self.0.released.fetch_add(1, Ordering::SeqCst);
        let key_request = asked.key_request.id();
        let recipient = asked.key_request.body().recipient;
        let sealed = release::seal(self.0.key.as_bytes(), &recipient, &key_request).unwrap();
        let body = KeyRelease {
            share: asked.request.body().share,
            key: *id,
            request: asked.request.id(),
            key_request,
            sealed: sealed.digest(),
        };
        let released = ReleasedKey { sealed, release: self.0.key_signer.sign(LEDGER, now(), body) };
        Ok(turn(&self.0.lies.released, released))
    }
    async fn releases(&self, _: &ShareId, _: Page<Digest>) -> Result<Vec<ReleaseEntry>> {
        not_here()
    }
    async fn erased_releases(&self, _: &ShareId, _: Page<Digest>) -> Result<Vec<ErasedRelease>> {
        not_here()
    }
    async fn revoke_token(&self, _: &TokenRevocation) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Packages for Fake {
    async fn register_package(&self) -> Result<PackageAddress> {
        let id = PackageId([1; 16]);
        Ok(PackageAddress { id, address: format!("https://storage.example:1/v1/packages/{id}") })
    }
    async fn package_status(&self, _: &PackageId) -> Result<PackageStatus> {
        not_here()
    }
    async fn download(&self, _: &PackageId, range: Option<ByteRange>) -> Result<Download> {
        self.0.fetched.fetch_add(1, Ordering::SeqCst);
        let package = self.0.package.lock().unwrap();
        let first = range.map_or(0, |range| range.first);
        let size = package.len() as u64;
        let end = range.and_then(|range| range.last).map_or(size, |last| (last + 1).min(size));
        let bytes = package[first as usize..end as usize].to_vec();
        let mut parts: Vec<std::io::Result<Bytes>> =
            bytes.chunks(1000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        if let Some(after) = *self.0.breaks_after.lock().unwrap() {
            let whole = after.div_ceil(1000);
            if parts.len() > whole {
                parts.truncate(whole);
                parts.push(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
        }
        Ok(Download { size, first, length: end - first, bytes: stream::iter(parts).boxed() })
    }
    async fn packages(&self, _: Page<PackageId>) -> Result<Vec<PackageStatus>> {
        not_here()
    }
    async fn delete_package(&self, _: &PackageId) -> Result<()> {
        self.0.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Uploads for Fake {
    async fn upload(
        &self,
        id: &PackageId,
        size: u64,
        mut bytes: ByteStream,
    ) -> Result<PackageStatus> {
        let mut package = Vec::new();
        while let Some(chunk) = bytes.next().await {
            package.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(package.len() as u64, size);
        let reader = datapact_core::package::PackageReader::open(package.as_slice()).unwrap();
        let status = PackageStatus {
            package: PackageAddress {
                id: *id,
                address: format!("https://storage.example:1/v1/packages/{id}"),
            },
            provider: reader.metadata().signer().clone(),
            stored: true,
            digest: Some(reader.metadata().id()),
            size: Some(size),
        };
        Ok(turn(&self.0.lies.package, status))
    }
    async fn upload_offset(&self, _: &PackageId) -> Result<UploadOffset> {
        not_here()
    }
    async fn append(&self, _: &PackageId, _: &Part, _: ByteStream) -> Result<PackageStatus> {
        not_here()
    }
}

#[async_trait]
impl Users for Fake {
    async fn set_user(&self, _: &UserNotice) -> Result<()> {
        not_here()
    }
}

//! The keys that management signs tokens with (KS-5): fetched, held for a while, and fetched again
//! when a token is signed by an unknown one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::public::Public;
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_core::id::Timestamp;
use datapact_core::token::{AccessToken, Jwks, TokenError};
use tokio::sync::Mutex;

/// How long keys are believed without asking again: a key that management no longer publishes dies
/// by then.
const AGE_MAX: Duration = Duration::from_secs(300);
/// How often an unknown key may make the server ask, so that forged tokens cannot flood management.
const REFETCH_MIN: Duration = Duration::from_secs(5);

pub(in crate::key) struct JwksCache {
    public: Arc<dyn Public>,
    issuer: String,
    fetched: Mutex<Option<(Arc<Jwks>, Instant)>>,
}

impl JwksCache {
    /// The keys of the management called `issuer`.
    pub(in crate::key) fn new(public: Arc<dyn Public>, issuer: String) -> Self {
        Self { public, issuer, fetched: Mutex::default() }
    }

    /// The claims of `text`, if management has signed it for `audience` and it is alive at `now`.
    pub(super) async fn verify(
        &self,
        text: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<AccessToken> {
        let verify =
            |keys: &Jwks| keys.verify(text, &self.issuer, audience, now, CLOCK_SKEW_SECONDS_MAX);
        let verified = match verify(&*self.keys(AGE_MAX).await?) {
            Err(TokenError::UnknownKey) => verify(&*self.keys(REFETCH_MIN).await?),
            verified => verified,
        };
        verified.map_err(|error| match error {
            TokenError::Malformed(_) | TokenError::Algorithm => Problem::malformed(error),
            TokenError::UnknownKey | TokenError::Signature | TokenError::Audience => {
                Problem::forbidden(error)
            }
            TokenError::Expired | TokenError::NotYet => Problem::forbidden(error),
        })
    }

    /// The keys, fetched if they are older than `age`.
    async fn keys(&self, age: Duration) -> Result<Arc<Jwks>> {
        // Held while fetching: many callers share one fetch.
        let mut fetched = self.fetched.lock().await;
        if let Some((keys, at)) = &*fetched
            && at.elapsed() < age
        {
            return Ok(Arc::clone(keys));
        }
        let keys = self.public.jwks().await.map_err(|problem| {
            let detail = format!("management's token keys cannot be fetched: {}", problem.detail);
            Problem::new(Kind::Unavailable, detail).hint("try again")
        })?;
        let keys = Arc::new(keys);
        *fetched = Some((Arc::clone(&keys), Instant::now()));
        Ok(keys)
    }
}

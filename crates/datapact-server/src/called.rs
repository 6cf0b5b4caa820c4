//! A service as one caller sees it: what the traits of the API are implemented for.

use std::ops::Deref;
use std::sync::Arc;

use datapact_api::gate::Caller;

/// A service, and a caller who has passed the gate.
pub(crate) struct Called<S> {
    pub(crate) service: Arc<S>,
    pub(crate) caller: Caller,
}

impl<S> Clone for Called<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), caller: self.caller.clone() }
    }
}

impl<S> Deref for Called<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.service
    }
}

/// Makes `service` as one caller sees it.
pub(crate) fn called<S>(service: &Arc<S>) -> impl Fn(Caller) -> Called<S> + Clone + use<S> {
    let service = Arc::clone(service);
    move |caller| Called { service: Arc::clone(&service), caller }
}

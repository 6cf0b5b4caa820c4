//! The forms of answers in the OpenAPI document.

#![expect(
    clippy::extra_unused_type_parameters,
    reason = "a declaration names the type of every argument and answer, described or not"
)]

use schemars::JsonSchema;
use serde_json::json;

use super::Description;
use crate::operation::answer::{Events, Json, LogFile, Pem, Ranged, Tagged, Unstored};

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";

impl Json {
    pub(crate) fn describe<A: JsonSchema>(description: &mut Description) {
        let schema = description.schema::<A>();
        description.answer(JSON, schema);
    }
}

impl Tagged {
    pub(crate) fn describe<A: JsonSchema>(description: &mut Description) {
        Json::describe::<A>(description);
    }
}

impl Unstored {
    pub(crate) fn describe<A: JsonSchema>(description: &mut Description) {
        Json::describe::<A>(description);
    }
}

impl Events {
    pub(crate) fn describe<A>(description: &mut Description) {
        description.answer("text/event-stream", json!({ "type": "string" }));
    }
}

impl Ranged {
    pub(crate) fn describe<A>(description: &mut Description) {
        description.answer(OCTETS, json!({}));
        description.answer_with("206", OCTETS, json!({}));
    }
}

impl LogFile {
    pub(crate) fn describe<A>(description: &mut Description) {
        description.answer(OCTETS, json!({}));
    }
}

impl Pem {
    pub(crate) fn describe<A>(description: &mut Description) {
        description.answer("application/x-pem-file", json!({ "type": "string" }));
    }
}

//! What an operation's arguments and answer look like in the OpenAPI document; one method for each
//! kind of argument.

#![expect(
    clippy::extra_unused_type_parameters,
    reason = "a declaration names the type of every argument and answer, described or not"
)]

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::operation::Document;

/// One operation while it is described, and the schemas that all operations share.
pub struct Description {
    pub(super) generator: SchemaGenerator,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) responses: Map<String, Value>,
}

impl Description {
    pub(super) fn new(generator: SchemaGenerator) -> Self {
        Self { generator, parameters: Vec::new(), body: None, responses: Map::new() }
    }

    pub(super) fn schema<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    pub(super) fn header(&mut self, name: &str, schema: Value) {
        self.parameter(name, "header", false, schema);
    }

    fn parameter(&mut self, name: &str, place: &str, required: bool, schema: Value) {
        let parameter =
            json!({ "name": name, "in": place, "required": required, "schema": schema });
        self.parameters.push(parameter);
    }

    /// A success with this content.
    pub(super) fn answer(&mut self, media_type: &str, schema: Value) {
        self.answer_with("200", media_type, schema);
    }

    pub(super) fn answer_with(&mut self, status: &str, media_type: &str, schema: Value) {
        let content = json!({ media_type: { "schema": schema } });
        let answer = json!({ "description": "Done.", "content": content });
        self.responses.insert(status.to_owned(), answer);
    }

    fn request(&mut self, media_type: &str, schema: Value) {
        let content = json!({ media_type: { "schema": schema } });
        self.body = Some(json!({ "required": true, "content": content }));
    }

    pub(crate) fn path<T: JsonSchema>(&mut self, name: &str) {
        let schema = self.schema::<T>();
        self.parameter(name, "path", true, schema);
    }

    pub(crate) fn query<T: JsonSchema>(&mut self, _: &str) {
        let of = T::json_schema(&mut self.generator).to_value();
        let required = of.get("required").and_then(Value::as_array);
        let properties = of.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let required = required.is_some_and(|names| names.iter().any(|known| known == name));
            self.parameter(name, "query", required, schema.clone());
        }
    }

    pub(crate) fn body<T: JsonSchema>(&mut self, _: &str) {
        let schema = self.schema::<T>();
        self.request("application/json", schema);
    }

    pub(crate) fn document<T: JsonSchema>(&mut self, _: &str) {
        let schema = Document::<T>::json_schema(&mut self.generator).to_value();
        self.request("application/json", schema);
    }

    pub(crate) fn form<T: JsonSchema>(&mut self, _: &str) {
        let schema = self.schema::<T>();
        self.request("application/x-www-form-urlencoded", schema);
    }

    pub(crate) fn last_event<T>(&mut self, _: &str) {
        let schema = self.schema::<u64>();
        self.header("Last-Event-ID", schema);
    }

    pub(crate) fn range<T>(&mut self, _: &str) {
        self.header("Range", json!({ "type": "string" }));
    }

    #[expect(clippy::unused_self, reason = "every request with a body says its length")]
    pub(crate) fn length<T>(&mut self, _: &str) {}

    pub(crate) fn part<T: JsonSchema>(&mut self, name: &str) {
        self.query::<T>(name);
    }

    pub(crate) fn octets<T>(&mut self, _: &str) {
        self.request("application/octet-stream", json!({}));
    }
}

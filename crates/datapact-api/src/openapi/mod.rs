//! The OpenAPI 3.1 document of each server: made from one table of operations and the schemas of
//! what travels. Tests compare the table with the routers, and the schemas with the types.

mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;
use http::header;
use serde_json::{Map, Value, json};

pub use table::{Operation, Role};

/// Where each server's public listener serves its document.
pub const PATH: &str = "/openapi.json";

const SCHEMAS: &str = include_str!("schemas.json");
const SCHEMA_PREFIX: &str = "#/components/schemas/";

/// The document of a server with this role, as it is served.
pub fn document(role: Role) -> &'static str {
    static DOCUMENTS: LazyLock<[String; 3]> =
        LazyLock::new(|| Role::ALL.map(|role| pretty(build(role))));
    let [management, key, storage] = &*DOCUMENTS;
    match role {
        Role::Management => management,
        Role::Key => key,
        Role::Storage => storage,
    }
}

/// The route that serves the document, for a public listener.
pub fn router(role: Role) -> Router {
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], document(role));
    Router::new().route(PATH, get(answer))
}

fn pretty(mut document: Value) -> String {
    // The same whatever other crates make of serde_json's maps.
    document.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain JSON");
    text.push('\n');
    text
}

fn build(role: Role) -> Value {
    let mut paths = Map::new();
    let mut used = BTreeSet::from(["Problem".to_owned()]);
    for operation in table::operations(role) {
        let path = paths.entry(operation.path.replace("{*", "{")).or_insert_with(|| json!({}));
        let described = describe(operation);
        named(&described, &mut used);
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), described);
        }
    }
    let all: Map<String, Value> = serde_json::from_str(SCHEMAS).expect("the schemas are JSON");
    // Of the schemas those that are used, and what these use.
    let mut schemas = Map::new();
    while let Some(name) = used.iter().find(|name| !schemas.contains_key(*name)).cloned() {
        let schema = all.get(&name).cloned().unwrap_or_default();
        named(&schema, &mut used);
        schemas.insert(name, schema);
    }
    let name = role.name();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Datapact {name}"),
            "version": "1",
            "description": format!(
                "The routes of a {name}. Transport, who gets through, errors, retries and the meaning of all values are \
                 specified in docs/spec/http-api.md. Paths that begin with `/v1/` are the API's listener (TLS 1.3 with a client \
                 certificate); the others are the public listener's, without one."
            ),
        },
        "servers": [{ "url": format!("https://{}", role.example()), "description": "by configured name" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A client certificate of a CA that the server trusts."
                },
                "statement": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Datapact-Statement",
                    "description": "A user's signed statement of this very call; servers need none."
                },
            },
            "responses": {
                "Problem": {
                    "description": "What is not a success.",
                    "content": { "application/problem+json": { "schema": reference("Problem") } },
                },
            },
            "schemas": schemas,
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": format!("For {}.", operation.who),
    });
    let Some(members) = described.as_object_mut() else { return described };
    let in_path =
        operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": schema(operation.in_path(name)) }))
        .collect();
    parameters.extend(operation.query.iter().map(|(name, of, required)| {
        json!({ "name": name, "in": "query", "required": required, "schema": schema(of) })
    }));
    parameters.extend(
        operation.headers.iter().map(
            |(name, of)| json!({ "name": name, "in": "header", "required": false, "schema": schema(of) }),
        ),
    );
    if !parameters.is_empty() {
        members.insert("parameters".to_owned(), parameters.into());
    }
    if let Some((media_type, of)) = operation.body {
        let content = json!({ media_type: { "schema": schema(of) } });
        members.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    let (media_type, of) = operation.answer;
    let success =
        json!({ "description": "Done.", "content": { media_type: { "schema": schema(of) } } });
    let mut responses =
        json!({ "200": success, "default": { "$ref": "#/components/responses/Problem" } });
    if operation.ranges
        && let Some(responses) = responses.as_object_mut()
    {
        responses.insert("206".to_owned(), success);
    }
    members.insert("responses".to_owned(), responses);
    let security = if operation.path.starts_with("/v1/") {
        json!([{ "certificate": [], "statement": [] }, { "certificate": [] }])
    } else {
        json!([])
    };
    members.insert("security".to_owned(), security);
    described
}

/// A schema by its short form: `[X]` a list of X, `string`, `integer`, `boolean`, `octets`, or a
/// component's name.
fn schema(of: &str) -> Value {
    match of {
        "string" => json!({ "type": "string" }),
        "integer" => {
            json!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64 })
        }
        "boolean" => json!({ "type": "boolean" }),
        "octets" => json!({}),
        _ => match of.strip_prefix('[').and_then(|of| of.strip_suffix(']')) {
            Some(item) => json!({ "type": "array", "items": schema(item) }),
            None => reference(of),
        },
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{SCHEMA_PREFIX}{name}") })
}

/// Adds the schemas that `value` names.
fn named(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix(SCHEMA_PREFIX)) {
                    Some(schema) if name == "$ref" => drop(found.insert(schema.to_owned())),
                    _ => named(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, found)),
        _ => {}
    }
}

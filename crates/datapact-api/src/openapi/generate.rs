//! Makes the documents from the declarations and the schemas of the types.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Description, Role};
use crate::operation::{Header, Operation};
use crate::problem::Wire;

/// Examples of the types that travel, by the names of their schemas.
pub(super) const EXAMPLES: &str = include_str!("examples.json");
/// The largest integer that JSON carries exactly everywhere (RFC 8259, clause 6).
const INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// The document of a server with this role: what the file in the specification must be.
pub fn generate(role: Role) -> String {
    let mut document = build(role);
    // The same whatever other crates make of serde_json's maps.
    document.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain JSON");
    text.push('\n');
    text
}

fn build(role: Role) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut description = Description::new(settings.into_generator());
    description.schema::<Wire>();
    let mut paths = Map::new();
    for operation in role.operations() {
        let path = paths.entry(operation.path.replace("{*", "{")).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            let described = describe(operation, &mut description);
            path.insert(operation.method.to_owned(), described);
        }
    }
    // Only now: describing an operation adds the schemas that it refers to.
    let mut schemas = description.generator.take_definitions(true);
    let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).expect("examples are JSON");
    for (name, examples) in examples {
        if let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
            schema.insert("examples".to_owned(), examples);
        }
    }
    let (mut schemas, mut paths) = (Value::Object(schemas), Value::Object(paths));
    tighten(&mut schemas);
    tighten(&mut paths);
    let (name, server) = match role {
        Role::Management => (role.name(), "https://management.example"),
        Role::Key => (role.name(), "https://keys.example"),
        Role::Storage => (role.name(), "https://storage.example"),
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Datapact {name}"),
            "version": "1",
            "description": format!(
                "The routes of a {name}. Transport, who gets through, errors, retries and the \
                 meaning of all values are specified in docs/spec/http-api.md. Paths that begin \
                 with `/v1/` are the API's listener (TLS 1.3 with a client certificate); the \
                 others are the public listener's, without one."
            ),
        },
        "servers": [{ "url": server, "description": "by configured name" }],
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
                    "content": {
                        "application/problem+json": {
                            "schema": { "$ref": "#/components/schemas/Problem" },
                        },
                    },
                },
            },
            "schemas": schemas,
        },
    })
}

fn describe(operation: &Operation, description: &mut Description) -> Value {
    (operation.describe)(description);
    for header in operation.headers {
        let name = match header {
            Header::IdempotencyKey => "Idempotency-Key",
            Header::IfMatch => "If-Match",
        };
        description.header(name, json!({ "type": "string" }));
    }
    let security = if operation.path.starts_with("/v1/") {
        json!([{ "certificate": [], "statement": [] }, { "certificate": [] }])
    } else {
        json!([])
    };
    let mut responses = std::mem::take(&mut description.responses);
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut described = json!({
        "operationId": camel(operation.name),
        "summary": operation.summary(),
        "description": format!("For {}.", operation.who.text()),
        "responses": responses,
        "security": security,
    });
    if let Some(members) = described.as_object_mut() {
        let parameters = std::mem::take(&mut description.parameters);
        if !parameters.is_empty() {
            members.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = description.body.take() {
            members.insert("requestBody".to_owned(), body);
        }
    }
    described
}

/// `set_policy` as `setPolicy`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut text, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        text.push_str(&head.to_ascii_uppercase());
        text.push_str(tail);
        text
    })
}

/// Makes schemas say what the API says of all values: a member without a value is left out and
/// never `null`, and integers have bounds.
fn tighten(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(tighten);
            without_null(members);
            bounded(members);
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = plain(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tighten),
        _ => {}
    }
}

fn without_null(members: &mut Map<String, Value>) {
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(mut choices)) = members.remove("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    match choices.as_mut_slice() {
        [Value::Object(only)] => members.append(only),
        _ => drop(members.insert("anyOf".to_owned(), choices.into())),
    }
}

fn bounded(members: &mut Map<String, Value>) {
    let max = match members.get("format").and_then(Value::as_str) {
        Some("uint8") => u64::from(u8::MAX),
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        Some("uint" | "uint64") => INTEGER_MAX,
        _ => return,
    };
    members.remove("format");
    members.entry("maximum").or_insert_with(|| max.into());
}

/// Documentation without rustdoc's links.
fn plain(text: &str) -> String {
    let mut text = text.replace("[`", "`").replace("`]", "`");
    while let Some(at) = text.find("](") {
        let end = text[at..].find(')').map_or(text.len(), |length| at + length + 1);
        text.replace_range(at..end, "");
        if let Some(open) = text[..at].rfind('[') {
            text.remove(open);
        }
    }
    text
}

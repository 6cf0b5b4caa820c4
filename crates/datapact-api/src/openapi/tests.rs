//! What is declared is routed, documented and specified, and examples are as the types read them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::Router;
use axum::body::Body;
use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use datapact_log::clock::system_clock;
use http::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::generate::EXAMPLES;
use super::{PATH, Role, generate, router};
use crate::client::Http;
use crate::endpoint::Endpoint;
use crate::gate::Caller;
use crate::key_server::{self, *};
use crate::management::{self, *};
use crate::peer::AuthenticatedPeer;
use crate::public::{self, Health, LogSize};
use crate::storage_server::{self, *};
use crate::user::UserNotice;

const SCHEMA_PREFIX: &str = "#/components/schemas/";

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A client that reaches no server.
fn nowhere() -> Http {
    let tls = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let connect = Some("127.0.0.1:1".parse().unwrap());
    let endpoint = Endpoint { url: "https://nowhere.example:1".to_owned(), connect };
    Http::new(&endpoint, tls, None, system_clock()).unwrap()
}

/// The routes of a server's API and of its public listener, without the gate.
fn routers(role: Role) -> [Router; 2] {
    let api = match role {
        Role::Management => management::routes(|_| nowhere()),
        Role::Key => key_server::routes(|_| nowhere()),
        Role::Storage => storage_server::routes(|_| nowhere()),
    };
    let (identity, chain) = (Identity::server("a.example"), Vec::new());
    let peer = AuthenticatedPeer { identity, chain, certificate: Digest::of(b"") };
    let api = api
        .layer(Extension(Caller { peer, statement: None, idempotency_key: None, if_match: None }))
        .fallback(|| async { StatusCode::IM_A_TEAPOT })
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED });
    let public = Router::new()
        .merge(public::routes(Arc::new(nowhere())))
        .merge(router(role))
        .fallback(|| async { StatusCode::IM_A_TEAPOT });
    [api, public]
}

/// What the router answers, if it has the path: whether it takes the method.
async fn takes(router: &Router, method: &Method, path: &str) -> Option<bool> {
    let mut target = String::new();
    for part in path.split('/').skip(1) {
        let value = match part {
            "{request}" => "ab".repeat(32),
            "{position}" => "7".to_owned(),
            "{realm}" => "clinic".to_owned(),
            "{*path}" => "tile/0/000".to_owned(),
            part if part.starts_with('{') => "ab".repeat(16),
            part => part.to_owned(),
        };
        target.push_str(&format!("/{value}"));
    }
    let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
    match router.clone().oneshot(request).await.unwrap().status() {
        StatusCode::IM_A_TEAPOT => None,
        StatusCode::METHOD_NOT_ALLOWED => Some(false),
        _ => Some(true),
    }
}

fn documented(role: Role) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for operation in role.operations() {
        found.entry(operation.path).or_default().push(operation.method);
    }
    found
}

#[tokio::test]
async fn mg_17_what_is_documented_is_routed_and_no_other_method() {
    for role in Role::ALL {
        let [api, public] = routers(role);
        for (path, methods) in documented(role) {
            let router = if path.starts_with("/v1/") { &api } else { &public };
            for method in METHODS {
                let expected = methods.contains(&method.as_str().to_ascii_lowercase().as_str());
                assert_eq!(
                    takes(router, &method, path).await,
                    Some(expected),
                    "{role:?} {method} {path}"
                );
            }
        }
        assert_eq!(takes(&api, &Method::GET, "/v1/unheard-of").await, None);
    }
}

/// Whether a path of the specification, whose parameters are in capitals, is this one.
fn is_path(written: &str, path: &str) -> bool {
    let written = written.split(['?', '`']).next().unwrap();
    let (written, path): (Vec<_>, Vec<_>) =
        (written.split('/').collect(), path.split('/').collect());
    written.len() == path.len()
        && written.iter().zip(path).all(|(written, part)| match part.starts_with('{') {
            true => !written.is_empty() && written.bytes().all(|b| b.is_ascii_uppercase()),
            false => *written == part,
        })
}

#[test]
fn mg_17_the_specification_names_every_operation() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/http-api.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for operation in Role::ALL.into_iter().flat_map(Role::operations) {
        let method = format!("{} ", operation.method.to_ascii_uppercase());
        let named = |row: &&str| match operation.path.starts_with("/v1/") {
            true => row.strip_prefix(&method).is_some_and(|row| is_path(row, operation.path)),
            false => is_path(row, operation.path),
        };
        assert!(rows.iter().any(named), "{method}{}", operation.path);
    }
}

/// To write them again: `DATAPACT_BLESS=1 cargo test -p datapact-api openapi`.
#[test]
fn mg_17_the_documents_in_the_specification_are_those_served() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/openapi");
    for (role, file) in Role::ALL.into_iter().zip(["management", "key-server", "storage-server"]) {
        let path = folder.join(format!("{file}.json"));
        if std::env::var_os("DATAPACT_BLESS").is_some() {
            std::fs::write(&path, generate(role)).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), generate(role), "{file}");
    }
}

#[tokio::test]
async fn mg_17_the_document_is_served_without_a_certificate() {
    for role in Role::ALL {
        let request = Request::get(PATH).body(Body::empty()).unwrap();
        let answer = router(role).oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let served: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(served["openapi"], "3.1.0");
        // Each operation has its own name, and each reference leads somewhere.
        let mut ids = BTreeSet::new();
        for operation in role.operations() {
            assert!(ids.insert(operation.name), "{}", operation.name);
        }
        let mut named_ = BTreeSet::new();
        named(&served, &mut named_);
        for name in named_ {
            assert!(served["components"]["schemas"][&name].is_object(), "{name}");
        }
    }
}

/// The schemas of all servers.
fn schemas() -> &'static Map<String, Value> {
    static SCHEMAS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
        let mut all = Map::new();
        for role in Role::ALL {
            let mut document: Value = serde_json::from_str(&generate(role)).unwrap();
            all.append(document["components"]["schemas"].as_object_mut().unwrap());
        }
        all
    });
    &SCHEMAS
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

/// Whether `value` is as `schema` says, but for patterns and bounds, which the types check.
fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {value} is not {schema}"));
    if let Some(name) = schema["$ref"].as_str() {
        return fits(&schemas()[name.strip_prefix(SCHEMA_PREFIX).unwrap()], value);
    }
    if let Some(all) = schema["oneOf"].as_array() {
        let fitting = all.iter().filter(|one| fits(one, value).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { wrong("oneOf") };
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong("const");
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return wrong("enum");
    }
    match schema["type"].as_str() {
        Some("string") if value.is_string() => Ok(()),
        Some("integer") if value.is_u64() => Ok(()),
        Some("boolean") if value.is_boolean() => Ok(()),
        Some("null") if value.is_null() => Ok(()),
        Some("array") => match value.as_array() {
            Some(items) => items.iter().try_for_each(|item| fits(&schema["items"], item)),
            None => wrong("type"),
        },
        Some("object") => {
            let Some(members) = value.as_object() else { return wrong("type") };
            for required in schema["required"].as_array().into_iter().flatten() {
                if !members.contains_key(required.as_str().unwrap()) {
                    return wrong("required");
                }
            }
            for (name, member) in members {
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (Value::Null, Value::Bool(false)) => return wrong(name),
                    (Value::Null, Value::Null) => {}
                    (Value::Null, other) => fits(other, member)?,
                    (property, _) => fits(property, member)?,
                }
            }
            Ok(())
        }
        _ => wrong("type"),
    }
}

/// The schema `name` and the type agree: on the members, on which of them must be there, and on the
/// examples.
fn agrees<T: Serialize + DeserializeOwned>(name: &str) {
    let schema = &schemas()[name];
    let examples = schema["examples"].as_array().cloned().unwrap_or_default();
    for example in &examples {
        fits(schema, example).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read: T =
            serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(serde_json::to_value(read).unwrap(), *example, "{name}");
    }
    if schema["additionalProperties"] != json!(false) || name == "Introspection" {
        return;
    }
    // The type itself says which members it knows.
    let Err(error) = serde_json::from_value::<T>(json!({ "no such member": 0 })) else {
        panic!("{name} takes any member")
    };
    let known: BTreeSet<String> =
        error.to_string().split('`').skip(3).step_by(2).map(str::to_owned).collect();
    let properties: BTreeSet<String> =
        schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(properties, known, "{name}");
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|name| name.as_str().unwrap())
        .collect();
    for example in &examples {
        for member in example.as_object().unwrap().keys() {
            let mut less = example.clone();
            less.as_object_mut().unwrap().remove(member);
            let refused = serde_json::from_value::<T>(less).is_err();
            assert_eq!(refused, required.contains(&member.as_str()), "{name}.{member}");
        }
    }
}

#[test]
fn mg_17_schemas_and_examples_are_those_of_the_types() {
    use datapact_core::contract::{
        AccessRecord, Attributes, RecordUsage, Refusal, RequestAccess, RequestedPermission,
        UsageRecord,
    };
    use datapact_core::permission::{AccessTimes, KeyReference, PackageReference};
    agrees::<Identity>("Identity");
    agrees::<datapact_core::commitment::Opening>("Opening");
    agrees::<Endpoint>("Endpoint");
    agrees::<Attributes>("Attributes");
    agrees::<Account>("Account");
    agrees::<AccountUpdate>("AccountUpdate");
    agrees::<NewInvitation>("NewInvitation");
    agrees::<datapact_core::enrolment::Enrolment>("Enrolment");
    agrees::<datapact_core::enrolment::Administrators>("Administrators");
    agrees::<datapact_core::enrolment::LedgerTrust>("LedgerTrust");
    agrees::<datapact_core::enrolment::Chain>("Chain");
    agrees::<EnrolmentDraft>("EnrolmentDraft");
    agrees::<EnrolmentProgress>("EnrolmentProgress");
    agrees::<InvitationCode>("InvitationCode");
    agrees::<ManagementInfo>("ManagementInfo");
    agrees::<Deed>("Deed");
    agrees::<ActionRecord>("ActionRecord");
    agrees::<Action>("Action");
    agrees::<KeyReference>("KeyReference");
    agrees::<PackageReference>("PackageReference");
    agrees::<datapact_core::policy::Price>("Price");
    agrees::<datapact_core::policy::desensitization::Column>("DesensitizedColumn");
    agrees::<datapact_core::policy::desensitization::Anonymity>("Anonymity");
    agrees::<datapact_core::policy::desensitization::Desensitization>("Desensitization");
    agrees::<datapact_core::policy::SharingInformation>("SharingInformation");
    agrees::<PolicyReceipt>("PolicyReceipt");
    agrees::<OwnShare>("OwnShare");
    agrees::<CatalogEntry>("CatalogEntry");
    agrees::<Refusal>("Refusal");
    agrees::<CatalogDetail>("CatalogDetail");
    agrees::<AccessTimes>("AccessTimes");
    agrees::<RequestedPermission>("RequestedPermission");
    agrees::<RequestAccess>("RequestAccess");
    agrees::<AccessRecord>("AccessRecord");
    agrees::<RecordUsage>("RecordUsage");
    agrees::<UsageRecord>("UsageRecord");
    agrees::<AccessGrant>("AccessGrant");
    agrees::<AccessEntry>("AccessEntry");
    agrees::<UsageReceipt>("UsageReceipt");
    agrees::<UsageEntry>("UsageEntry");
    agrees::<Erasure>("Erasure");
    agrees::<NotificationEvent>("NotificationEvent");
    agrees::<Notification>("Notification");
    agrees::<LedgerProof>("LedgerProof");
    agrees::<Introspection>("Introspection");
    agrees::<CatalogFilter>("CatalogFilter");
    agrees::<NewWebhook>("NewWebhook");
    agrees::<NewSubscription>("NewSubscription");
    agrees::<Subscription>("Subscription");
    agrees::<DeadLetter>("DeadLetter");
    agrees::<Redelivery>("Redelivery");
    agrees::<StoreKey>("StoreKey");
    agrees::<KeyStatus>("KeyStatus");
    agrees::<ShownPolicy>("ShownPolicy");
    agrees::<UserNotice>("UserNotice");
    agrees::<TokenRevocation>("TokenRevocation");
    agrees::<ReleaseKey>("ReleaseKey");
    agrees::<datapact_core::release::SealedKey>("SealedKey");
    agrees::<ReleasedKey>("ReleasedKey");
    agrees::<ReleaseEntry>("ReleaseEntry");
    agrees::<PackageAddress>("PackageAddress");
    agrees::<PackageStatus>("PackageStatus");
    agrees::<UploadOffset>("UploadOffset");
    agrees::<Join>("Join");
    agrees::<Acknowledged>("Acknowledged");
    agrees::<LogSize>("LogSize");
    agrees::<Health>("Health");
    agrees::<Withhold>("Withhold");
    let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap();
    for name in examples.keys() {
        assert!(schemas().contains_key(name), "there is an example of `{name}`, which is unused");
    }
    // Kinds that are in problems, one by one.
    let kinds = schemas()["Problem"]["properties"]["type"]["enum"].clone();
    for kind in kinds.as_array().unwrap() {
        let name = kind.as_str().unwrap().strip_prefix("urn:datapact:problem:").unwrap();
        let kind: crate::problem::Kind = serde_json::from_value(name.into()).unwrap();
        let problem = crate::problem::Problem::new(kind, "x").to_json();
        fits(&schemas()["Problem"], &problem).unwrap();
    }
}

//! Every operation of every server.

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Management.
    Management,
    /// A key server.
    Key,
    /// A storage server.
    Storage,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Management, Self::Key, Self::Storage];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Key => "key server",
            Self::Storage => "storage server",
        }
    }

    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Management => "management.example",
            Self::Key => "keys.example",
            Self::Storage => "storage.example",
        }
    }
}

/// One operation: a method on a path. Schemas stand in the short form of `schema.rs`.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// In lower case.
    pub method: &'static str,
    /// With its parameters in braces.
    pub path: &'static str,
    pub(super) id: &'static str,
    pub(super) who: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: &'static [(&'static str, &'static str, bool)],
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Option<(&'static str, &'static str)>,
    pub(super) answer: (&'static str, &'static str),
    pub(super) ranges: bool,
}

impl Operation {
    const fn body(mut self, schema: &'static str) -> Self {
        self.body = Some((JSON, schema));
        self
    }

    const fn body_as(mut self, media_type: &'static str, schema: &'static str) -> Self {
        self.body = Some((media_type, schema));
        self
    }

    const fn answer_as(mut self, media_type: &'static str, schema: &'static str) -> Self {
        self.answer = (media_type, schema);
        self
    }

    const fn query(mut self, query: &'static [(&'static str, &'static str, bool)]) -> Self {
        self.query = query;
        self
    }

    const fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    const fn ranges(mut self) -> Self {
        self.ranges = true;
        self
    }

    /// The schema of a parameter in the path.
    pub(super) fn in_path(&self, name: &str) -> &'static str {
        match name {
            "request" => "Digest",
            "position" => "integer",
            "realm" | "*path" => "string",
            _ => "Id",
        }
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const EVENTS: &str = "text/event-stream";
const OCTETS: &str = "application/octet-stream";

const fn op(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    who: &'static str,
    summary: &'static str,
    answer: &'static str,
) -> Operation {
    let answer = (JSON, answer);
    Operation {
        method,
        path,
        id,
        who,
        summary,
        query: &[],
        headers: &[],
        body: None,
        answer,
        ranges: false,
    }
}

/// The operations of a server, its public listener's too.
pub(super) fn operations(role: Role) -> impl Iterator<Item = &'static Operation> {
    let own = match role {
        Role::Management => MANAGEMENT,
        Role::Key => KEY,
        Role::Storage => STORAGE,
    };
    own.iter().chain(PUBLIC)
}

const AFTER: &[(&str, &str, bool)] = &[("after", "integer", false)];
const AFTER_ID: &[(&str, &str, bool)] = &[("after", "Id", false)];
const AFTER_DIGEST: &[(&str, &str, bool)] = &[("after", "Digest", false)];
const RECORDS: &[(&str, &str, bool)] = &[("share", "Id", false), ("after", "integer", false)];
const REPEATS: &[(&str, &str)] = &[("Idempotency-Key", "string")];
const MATCH: &[(&str, &str)] = &[("If-Match", "string")];
const RESUME: &[(&str, &str)] = &[("Last-Event-ID", "integer")];
const SEARCH: &[(&str, &str, bool)] = &[
    ("text", "string", false),
    ("category", "Name", false),
    ("realm", "string", false),
    ("provider", "string", false),
    ("industry", "Industry", false),
    ("country", "Country", false),
    ("price_max", "integer", false),
    ("currency", "string", false),
    ("valid_at", "Time", false),
    ("limit", "integer", false),
    ("before", "integer", false),
];

#[rustfmt::skip]
const MANAGEMENT: &[Operation] = &[
    op("get", "/v1/info", "info", "users and own servers", "The ledger and the servers that go with it", "ManagementInfo"),
    op("post", "/v1/join", "join", "any admitted user", "Take an invitation", "Account").body("Join"),
    op("get", "/v1/account", "account", "users", "The caller's own account", "Account"),
    op("post", "/v1/invitations", "invite", "administrators", "Promise an account to who brings the code", "Invitation").body("NewInvitation").headers(REPEATS),
    op("get", "/v1/accounts", "accounts", "administrators", "All accounts, by id, 200 a page", "[Account]").query(AFTER_ID),
    op("get", "/v1/accounts/{id}", "accountOf", "administrators", "An account", "Account"),
    op("patch", "/v1/accounts/{id}", "updateAccount", "administrators", "Set role, attributes or status", "Account").body("AccountUpdate").headers(MATCH),
    op("delete", "/v1/accounts/{id}", "deleteAccount", "administrators", "Disable an account, and erase it after the retention or now", "Account").query(&[("now", "boolean", false)]).headers(MATCH),
    op("get", "/v1/actions", "actions", "administrators", "The record of actions, oldest first, 200 a page", "[Action]").query(AFTER),
    op("get", "/v1/shares", "shares", "users", "Own shares, those changed longest ago first, 200 a page", "[OwnShare]").query(AFTER),
    op("get", "/v1/shares/{id}", "share", "its provider", "One of the caller's own shares", "OwnShare"),
    op("post", "/v1/shares", "setPolicy", "providers", "Set a policy version", "PolicyReceipt").body("Document"),
    op("get", "/v1/catalog", "catalog", "users", "Search what is published, newest first", "[CatalogEntry]").query(SEARCH),
    op("get", "/v1/catalog/{share}", "catalogEntry", "users", "One share, and whether the caller would be granted access", "CatalogDetail").query(&[("purpose", "Name", false)]),
    op("get", "/v1/publications", "publications", "users", "What is published, as it is published", "").headers(RESUME).answer_as(EVENTS, "string"),
    op("get", "/v1/subscriptions", "subscriptions", "users", "The caller's subscriptions, oldest first", "[Subscription]"),
    op("get", "/v1/subscriptions/{id}", "subscription", "its subscriber", "A subscription", "Subscription"),
    op("put", "/v1/subscriptions/{id}", "setSubscription", "users", "Keep a subscription under a drawn id, or replace what it says", "Subscription").body("NewSubscription"),
    op("delete", "/v1/subscriptions/{id}", "deleteSubscription", "its subscriber", "End a subscription", "Null"),
    op("get", "/v1/subscriptions/{id}/publications", "followSubscription", "its subscriber", "What fits, as it is published", "").headers(RESUME).answer_as(EVENTS, "string"),
    op("get", "/v1/subscriptions/{id}/dead-letters", "deadLetters", "its subscriber", "What could not be sent, 200 a page", "[DeadLetter]").query(AFTER),
    op("post", "/v1/subscriptions/{id}/redeliveries", "redeliver", "its subscriber", "Send dead letters again", "Null").body("Redelivery"),
    op("get", "/v1/accesses", "accesses", "users", "Own accesses and those to own shares, by position, 200 a page", "[AccessEntry]").query(RECORDS),
    op("post", "/v1/accesses", "requestAccess", "consumers", "Ask the contract for one access", "AccessGrant").body("Document"),
    op("get", "/v1/accesses/{request}/token", "token", "the access's consumer, its share's provider, administrators", "Whether the token of an access is good", "Introspection"),
    op("delete", "/v1/accesses/{request}/token", "revokeToken", "the access's consumer, its share's provider, administrators", "Revoke the token of an access", "Null"),
    op("get", "/v1/usages", "usages", "users", "Own usage reports and those on own shares, by position, 200 a page", "[UsageEntry]").query(RECORDS),
    op("post", "/v1/usages", "reportUsage", "users", "Record what was done under an access", "UsageReceipt").body("Document"),
    op("get", "/v1/erasures", "erasures", "users", "Entries about own shares whose documents were erased, 200 a page", "[Erasure]").query(RECORDS),
    op("get", "/v1/notifications", "notifications", "users", "The caller's notifications, oldest first, 200 a page", "[Notification]").query(&[("after", "integer", false), ("all", "boolean", false)]),
    op("post", "/v1/notifications/acknowledged", "acknowledge", "users", "Acknowledge notifications", "Null").body("Acknowledged"),
    op("get", "/v1/log/proofs/{position}", "proof", "users and own servers", "A proof that an entry is in the log", "LedgerProof"),
    op("post", "/v1/log/cosignatures", "addCosignature", "own key servers", "Hand in a cosigned checkpoint", "Null").body("CosignedCheckpoint"),
    op("post", "/v1/introspect", "introspect", "own key and storage servers", "Whether a token is good (RFC 7662)", "Introspection").body_as(FORM, "TokenForm"),
];

#[rustfmt::skip]
const KEY: &[Operation] = &[
    op("get", "/v1/keys", "keys", "users", "The caller's keys, by id, 200 a page", "[KeyStatus]").query(AFTER_ID),
    op("post", "/v1/keys", "registerKey", "users", "A new key's id and address", "KeyReference").headers(REPEATS),
    op("get", "/v1/keys/{id}", "keyStatus", "its owner and management", "What is stored of a key", "KeyStatus"),
    op("put", "/v1/keys/{id}", "storeKey", "its owner", "Store a key", "KeyStatus").body("StoreKey"),
    op("delete", "/v1/keys/{id}", "deleteKey", "its owner", "Destroy a key", "Null"),
    op("post", "/v1/keys/{id}/release", "release", "consumers", "The key, sealed to the request", "ReleasedKey").body("ReleaseKey"),
    op("post", "/v1/policies", "showPolicy", "management", "Show a policy that the key's owner signed", "Null").body("ShownPolicy"),
    op("post", "/v1/withhold", "withhold", "the policy's signer", "Release nothing more under a share", "Null").body("Withhold"),
    op("post", "/v1/revocations", "revokeToken", "management", "Release nothing more for an access", "Null").body("TokenRevocation"),
    op("post", "/v1/users", "setUser", "management", "What a user is from now on", "Null").body("UserNotice"),
    op("get", "/v1/releases/{share}", "releases", "the owner of the share's key", "The signed releases of a share, by key request, 200 a page", "[ReleaseEntry]").query(AFTER_DIGEST),
];

#[rustfmt::skip]
const STORAGE: &[Operation] = &[
    op("get", "/v1/packages", "packages", "users", "The caller's packages, by id, 200 a page", "[PackageStatus]").query(AFTER_ID),
    op("post", "/v1/packages", "registerPackage", "users", "A new package's id and address", "PackageAddress").headers(REPEATS),
    op("get", "/v1/packages/{id}", "download", "any admitted user", "The package, or a range of it", "").headers(&[("Range", "string")]).answer_as(OCTETS, "octets").ranges(),
    op("put", "/v1/packages/{id}", "upload", "its owner", "Store a package", "PackageStatus").body_as(OCTETS, "octets"),
    op("delete", "/v1/packages/{id}", "deletePackage", "its owner and management", "Delete a package", "Null"),
    op("get", "/v1/packages/{id}/upload", "uploadOffset", "its owner", "How much of an upload in parts has arrived", "UploadOffset"),
    op("patch", "/v1/packages/{id}/upload", "append", "its owner", "Go on with an upload in parts", "PackageStatus").query(&[("offset", "integer", true), ("size", "integer", true)]).body_as(OCTETS, "octets"),
    op("get", "/v1/packages/{id}/status", "packageStatus", "its owner and management", "What is stored of a package", "PackageStatus"),
    op("post", "/v1/users", "setUser", "management", "What a user is from now on", "Null").body("UserNotice"),
];

#[rustfmt::skip]
const PUBLIC: &[Operation] = &[
    op("get", "/healthz", "health", "anybody", "Whether the server works", "Health"),
    op("get", "/.well-known/jwks.json", "jwks", "anybody", "The keys that tokens are signed with (management)", "Jwks"),
    op("get", "/log/{*path}", "log", "anybody", "A file of the log (C2SP tlog-tiles)", "").answer_as(OCTETS, "octets"),
    op("get", "/log-size", "logSize", "anybody", "How long the log is, once it is longer than `size` (management)", "Size").query(&[("size", "integer", true)]),
    op("get", "/crl/{realm}", "crl", "anybody", "A realm's revocation lists (management)", "").answer_as("application/x-pem-file", "string"),
    op("get", "/openapi.json", "openapi", "anybody", "This document", "").answer_as(JSON, "octets"),
];

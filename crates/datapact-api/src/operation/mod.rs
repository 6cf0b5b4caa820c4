//! How an operation is declared: once, by `operations!`, from which follow the trait that
//! a server implements, its routes, the client's side, and its entry in the OpenAPI document.
//!
//! An argument is declared with its kind, the way in which it travels. Each kind is a method of
//! `Incoming`, which reads it from a request, and of `Outgoing`, which writes it into one:
//!
//! | Kind | Travels as |
//! |---|---|
//! | `path` | the part of the path in braces |
//! | `query` | the query, `application/x-www-form-urlencoded` |
//! | `body` | a JSON body |
//! | `document` | the member `document` of a JSON body, a signed document |
//! | `form` | a body, `application/x-www-form-urlencoded` |
//! | `last_event` | the header `Last-Event-ID` |
//! | `range` | the header `Range` |
//! | `length` | the header `Content-Length` |
//! | `part` | the query, which says how long the body is |
//! | `octets` | a streamed body, `application/octet-stream` |
//!
//! The answer is declared with its form, a type of the module `answer`.

pub(crate) mod answer;
mod document;
mod incoming;
mod outgoing;

pub(crate) use document::Document;
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::{Content, Outgoing};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A method on a path, as it is documented.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The name of the trait's method.
    pub name: &'static str,
    /// The HTTP method, in lower case.
    pub method: &'static str,
    /// The path with its parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// The lines of its documentation; the first paragraph sums it up.
    pub docs: &'static [&'static str],
    /// The optional headers that change what it does.
    pub headers: &'static [Header],
    /// The kinds of its arguments.
    pub(crate) kinds: &'static [&'static str],
    /// Describes its arguments and its answer.
    #[cfg(feature = "schema")]
    pub(crate) describe: fn(&mut crate::openapi::Description),
}

impl Operation {
    /// Whether it is what a route, a path with its parameters in braces, serves for a method.
    pub fn serves(&self, method: &str, route: &str) -> bool {
        self.method.eq_ignore_ascii_case(method) && self.path == route
    }

    /// Whether it takes a package.
    pub fn takes_package(&self) -> bool {
        self.kinds.contains(&"octets")
    }

    /// What it does, in a line without a full stop.
    pub fn summary(&self) -> String {
        let lines = self.docs.iter().map(|line| line.trim()).take_while(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
    }
}

/// Who may call an operation. The server that implements it checks this; here it is documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody who reaches a public listener.
    Anybody,
    /// A user whom the access list admits, with or without an account.
    AdmittedUsers,
    /// Active accounts.
    Users,
    /// Active accounts, and the servers that go with this management.
    UsersAndServers,
    /// Accounts that may share.
    Providers,
    /// Accounts that may access.
    Consumers,
    /// Administrators.
    Administrators,
    /// The share's provider.
    Provider,
    /// The subscription's subscriber.
    Subscriber,
    /// The access's consumer, its share's provider, and administrators.
    TokenParties,
    /// The key servers that go with this management.
    KeyServers,
    /// The key and storage servers that go with this management.
    Servers,
    /// Who registered the key or package.
    Owner,
    /// Who registered the key or package, and management.
    OwnerAndManagement,
    /// Who registered the key of the share.
    KeyOwner,
    /// Who signed the policy.
    Signer,
    /// Management.
    Management,
}

impl Who {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::AdmittedUsers => "any admitted user",
            Self::Users => "users",
            Self::UsersAndServers => "users and own servers",
            Self::Providers => "providers",
            Self::Consumers => "consumers",
            Self::Administrators => "administrators",
            Self::Provider => "its provider",
            Self::Subscriber => "its subscriber",
            Self::TokenParties => "the access's consumer, its share's provider, administrators",
            Self::KeyServers => "own key servers",
            Self::Servers => "own key and storage servers",
            Self::Owner => "its owner",
            Self::OwnerAndManagement => "its owner and management",
            Self::KeyOwner => "the owner of the share's key",
            Self::Signer => "the policy's signer",
            Self::Management => "management",
        }
    }
}

/// An optional header that the gate reads for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `Idempotency-Key`: repeats of a call answer as the first.
    IdempotencyKey,
    /// `If-Match`: change only what the caller has seen.
    IfMatch,
}

/// Which page of a list: what follows `after`, or the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Page<K> {
    /// The last entry of the page before.
    pub after: Option<K>,
}

impl<K> Page<K> {
    /// The first page.
    pub fn first() -> Self {
        Self { after: None }
    }

    /// What follows `key`.
    pub fn after(key: K) -> Self {
        Self { after: Some(key) }
    }
}

/// The argument of an operation's method: what a request holds, and how the method gets it.
pub(crate) trait Argument<'a> {
    /// What is read from a request.
    type Read;
    /// What the method takes.
    fn of(read: &'a mut Self::Read) -> Self;
}

impl<'a, T: DeserializeOwned> Argument<'a> for &'a T {
    type Read = T;
    fn of(read: &'a mut T) -> Self {
        read
    }
}

impl<'a> Argument<'a> for &'a str {
    type Read = String;
    fn of(read: &'a mut String) -> Self {
        read
    }
}

impl<K: Copy> Argument<'_> for Page<K> {
    type Read = Self;
    fn of(read: &mut Self) -> Self {
        *read
    }
}

impl Argument<'_> for u64 {
    type Read = Self;
    fn of(read: &mut Self) -> Self {
        *read
    }
}

impl<T: Copy> Argument<'_> for Option<T> {
    type Read = Self;
    fn of(read: &mut Self) -> Self {
        *read
    }
}

/// Declares the operations of a noun:
///
/// ```ignore
/// operations! {
///     /// What the trait is about.
///     pub trait Accounts {
///         /// Take an invitation.
///         ///
///         /// What else is to be known about it.
///         post "/v1/join" for AdmittedUsers;
///         fn join(body join: &Join) -> Account as Json;
///     }
/// }
/// ```
///
/// makes the trait `Accounts`, `impl Accounts for Http`, `OPERATIONS`, and `routes`, which takes
/// what makes the service for one caller. A trait declared `pub open trait` is served to callers
/// without a certificate; its `routes` takes the service itself.
macro_rules! operations {
    ($(#[$meta:meta])* pub trait $noun:ident { $($operations:tt)* }) => {
        $crate::operation::operations!(@declare [$(#[$meta])*] $noun $($operations)*);

        /// The routes of these operations, behind the gate. `called` makes the service as one
        /// caller sees it.
        pub fn routes<T, F>(called: F) -> axum::Router
        where
            T: $noun + 'static,
            F: Fn($crate::gate::Caller) -> T + Clone + Send + Sync + 'static,
        {
            $crate::operation::operations!(@routes called caller $($operations)*)
        }
    };
    ($(#[$meta:meta])* pub open trait $noun:ident { $($operations:tt)* }) => {
        $crate::operation::operations!(@declare [$(#[$meta])*] $noun $($operations)*);

        /// The routes of these operations, for everybody.
        pub fn routes(service: std::sync::Arc<dyn $noun>) -> axum::Router {
            let called = move |()| std::sync::Arc::clone(&service);
            $crate::operation::operations!(@routes called anybody $($operations)*)
        }
    };
    (@declare [$($meta:tt)*] $noun:ident $(
        $(#[doc = $doc:literal])*
        $verb:ident $path:literal for $who:ident $(with $header:ident)*;
        fn $name:ident($($kind:ident $argument:ident: $type:ty),* $(,)?)
            -> $answer:ty as $form:ident $end:tt
    )*) => {
        $($meta)*
        #[async_trait::async_trait]
        pub trait $noun: Send + Sync {
            $(
                $(#[doc = $doc])*
                async fn $name(&self, $($argument: $type),*)
                    -> $crate::problem::Result<$answer> $end
            )*
        }

        #[async_trait::async_trait]
        impl $noun for $crate::client::Http {
            $(
                async fn $name(&self, $($argument: $type),*)
                    -> $crate::problem::Result<$answer>
                {
                    #[allow(unused_mut, reason = "not every operation has arguments")]
                    let mut call = $crate::operation::Outgoing::new(stringify!($verb), $path);
                    $( call.$kind(stringify!($argument), $argument)?; )*
                    $crate::operation::answer::$form::receive(self, call).await
                }
            )*
        }

        /// The operations, as they are documented.
        pub const OPERATIONS: &[$crate::operation::Operation] = &[$(
            $crate::operation::Operation {
                name: stringify!($name),
                method: stringify!($verb),
                path: $path,
                who: $crate::operation::Who::$who,
                docs: &[$($doc),*],
                headers: &[$($crate::operation::Header::$header),*],
                kinds: &[$(stringify!($kind)),*],
                #[cfg(feature = "schema")]
                describe: |description| {
                    $(
                        description
                            .$kind::<<$type as $crate::operation::Argument<'_>>::Read>(
                                stringify!($argument),
                            );
                    )*
                    $crate::operation::answer::$form::describe::<$answer>(description);
                },
            },
        )*];
    };
    (@routes $called:ident $caller:ident $(
        $(#[doc = $doc:literal])*
        $verb:ident $path:literal for $who:ident $(with $header:ident)*;
        fn $name:ident($($kind:ident $argument:ident: $type:ty),* $(,)?)
            -> $answer:ty as $form:ident $end:tt
    )*) => {{
        let router = axum::Router::new();
        $(
            let called = $called.clone();
            let handler = move |mut request: $crate::operation::Incoming| {
                let service = request.$caller().map(&called);
                async move {
                    let service = service?;
                    $(
                        let mut $argument: <$type as $crate::operation::Argument<'_>>::Read =
                            request.$kind().await?;
                    )*
                    let answer = service
                        .$name($($crate::operation::Argument::of(&mut $argument)),*)
                        .await?;
                    $crate::operation::answer::$form::send(&request, answer)
                }
            };
            let router = router.route($path, axum::routing::$verb(handler));
        )*
        router
    }};
}
pub(crate) use operations;

//! Confirming at the other servers that what a policy names is stored (SH-7).

use datapact_api::key_server::{KeyServer, ShownPolicy};
use datapact_api::problem::{Kind, Problem};
use datapact_api::storage_server::StorageServer;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;

use crate::management::failure::{Failure, Result};
use crate::management::peers::{Peer, Peers};

/// The configured key server that has the policy's key.
pub(super) fn key_server<'a>(
    peers: &'a Peers,
    policy: &Signed<SharingPolicy>,
) -> Result<&'a Peer<dyn KeyServer>> {
    let address = &policy.body().information.key.address;
    peers.key_server(address).ok_or_else(|| elsewhere("key", address, peers.key_servers()))
}

/// Confirms that the package is stored, and is the provider's own.
pub(super) async fn package(peers: &Peers, policy: &Signed<SharingPolicy>) -> Result<()> {
    let wanted = &policy.body().information.package;
    let server: &Peer<dyn StorageServer> = peers
        .storage_server(&wanted.address)
        .ok_or_else(|| elsewhere("package", &wanted.address, peers.storage_servers()))?;
    let status = match server.client.package_status(&wanted.id).await {
        Ok(status) => status,
        Err(problem) if problem.kind == Kind::NotFound => {
            return Err(not_stored("package", &server.name));
        }
        Err(problem) => return Err(of_server(&server.name, problem)),
    };
    // Whose it is comes first: another provider learns nothing else of the package.
    if status.provider != *policy.signer() {
        let detail =
            "the package was stored by another provider; only its own provider can share it";
        return Err(Problem::forbidden(detail).into());
    }
    if !status.stored {
        return Err(not_stored("package", &server.name));
    }
    if status.reference().as_ref() != Some(wanted) {
        let detail =
            format!("the package at `{}` has another digest, size or address", server.name);
        let hint = "name in the policy what the storage server answered to the upload";
        return Err(Problem::new(Kind::Conflict, detail).hint(hint).into());
    }
    Ok(())
}

/// Confirms that the key is stored, for this share and package. Whose key it is, the key server
/// checks when the policy is shown to it.
pub(super) async fn key(
    server: &Peer<dyn KeyServer>,
    policy: &Signed<SharingPolicy>,
) -> Result<()> {
    let (body, information) = (policy.body(), &policy.body().information);
    let status = match server.client.key_status(&information.key.id).await {
        Ok(status) => status,
        Err(problem) if problem.kind == Kind::NotFound => {
            return Err(not_stored("key", &server.name));
        }
        Err(problem) => return Err(of_server(&server.name, problem)),
    };
    if !status.stored {
        return Err(not_stored("key", &server.name));
    }
    let conflict = |detail: &str| Failure::from(Problem::new(Kind::Conflict, detail));
    if status.key != information.key {
        return Err(conflict("the key has another address at its key server"));
    }
    if status.share != Some(body.share) {
        return Err(conflict("the key belongs to another share; store a key for this one"));
    }
    if status.package != Some(information.package.digest) {
        return Err(conflict("the key was stored for another package; store a key for this one"));
    }
    Ok(())
}

/// Shows the key server the policy, under which alone it releases the key.
pub(super) async fn show(server: Result<&Peer<dyn KeyServer>>, shown: &ShownPolicy) -> Result<()> {
    let server = server?;
    server.client.show_policy(shown).await.map_err(|problem| of_server(&server.name, problem))
}

fn elsewhere<T: ?Sized>(what: &str, address: &str, servers: &[Peer<T>]) -> Failure {
    let urls: Vec<_> = servers.iter().map(|server| server.endpoint.url.as_str()).collect();
    let detail = format!("the {what}'s address `{address}` is on no server of this management");
    Problem::malformed(detail).hint(format!("use {}", urls.join(" or "))).into()
}

fn not_stored(what: &str, server: &str) -> Failure {
    let detail = format!("the {what} is not stored at `{server}` yet");
    Problem::new(Kind::Conflict, detail).hint("store it there, then send the policy again").into()
}

/// Another server's problem as the caller's: what that server refuses, the provider is told; what
/// goes wrong between the servers is not the provider's fault.
fn of_server(name: &str, problem: Problem) -> Failure {
    let is_between_servers = matches!(
        problem.kind,
        Kind::Unavailable | Kind::Busy | Kind::Untrusted | Kind::Internal | Kind::Unauthenticated
    );
    if !is_between_servers {
        return problem.into();
    }
    let detail = format!("the server `{name}` cannot be reached: {}", problem.detail);
    Problem::new(Kind::Unavailable, detail).hint("try again later").into()
}

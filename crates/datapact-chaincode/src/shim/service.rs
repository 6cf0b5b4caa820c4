//! `protos.Chaincode`, the gRPC service that a chaincode offers its peers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::MESSAGE_BYTES_MAX;
use super::stream::{OUTGOING_MAX, PeerStream};
use crate::contract::Contract;
use crate::proto::shim::ChaincodeMessage;

/// Answers peers.
#[derive(Clone)]
pub(super) struct ChaincodeService {
    package: Arc<str>,
    contract: Arc<Contract>,
    stop: watch::Receiver<bool>,
}

impl ChaincodeService {
    pub(super) fn new(
        package: String,
        contract: Arc<Contract>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { package: package.into(), contract, stop }
    }
}

impl NamedService for ChaincodeService {
    const NAME: &'static str = "protos.Chaincode";
}

impl Service<http::Request<Body>> for ChaincodeService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != "/protos.Chaincode/Connect" {
            return Box::pin(async {
                Ok(Status::unimplemented("there is only `Connect`").into_http())
            });
        }
        let service = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.streaming(service, request).await)
        })
    }
}

impl StreamingService<ChaincodeMessage> for ChaincodeService {
    type Response = ChaincodeMessage;
    type ResponseStream = ReceiverStream<Result<ChaincodeMessage, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<ChaincodeMessage>>) -> Self::Future {
        let (out, outgoing) = mpsc::channel(OUTGOING_MAX);
        let peer = request.remote_addr();
        let stream = PeerStream::new(Arc::clone(&self.contract), out);
        let (package, stop) = (Arc::clone(&self.package), self.stop.clone());
        let incoming = request.into_inner();
        tokio::spawn(async move {
            tracing::info!(?peer, "a peer has connected");
            match stream.run(&package, incoming, stop).await {
                Ok(()) => tracing::info!(?peer, "the peer's stream has ended"),
                Err(error) => tracing::warn!(?peer, %error, "the peer's stream has failed"),
            }
        });
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(outgoing))) })
    }
}

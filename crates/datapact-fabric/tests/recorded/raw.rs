//! Messages as the bytes that they are, unread.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Status, Streaming};

#[derive(Default)]
pub(crate) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A stream to the chaincode at `address`, as a peer has it.
pub(crate) async fn connect(
    address: std::net::SocketAddr,
) -> (mpsc::Sender<Bytes>, Streaming<Bytes>) {
    let channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let (out, outgoing) = mpsc::channel(64);
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/protos.Chaincode/Connect");
    let response =
        grpc.streaming(Request::new(ReceiverStream::new(outgoing)), path, RawCodec).await.unwrap();
    (out, response.into_inner())
}

/// A gRPC service that takes and gives messages as bytes.
pub(crate) trait RawService: Clone + Send + Sync + 'static {
    /// The service's name in the path of each call.
    const NAME: &'static str;

    /// Answers a call, by [`tonic::server::Grpc`] with [`RawCodec`].
    fn answer(self, call: http::Request<Body>)
    -> impl Future<Output = http::Response<Body>> + Send;
}

/// Serves it on `listener` until the test ends.
pub(crate) fn serve(listener: TcpListener, service: impl RawService) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder().add_service(Served(service)).serve_with_incoming(incoming);
    tokio::spawn(serving);
}

#[derive(Clone)]
struct Served<T>(T);

impl<T: RawService> NamedService for Served<T> {
    const NAME: &'static str = T::NAME;
}

impl<T: RawService> Service<http::Request<Body>> for Served<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { Ok(service.answer(call).await) })
    }
}

//! A TCP proxy before a server that a test makes fail: it passes connections on, to several servers
//! in turn, refuses them, or lets them hang.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything goes through.
    Pass,
    /// Connections end at once.
    Gone,
    /// Connections are taken, and nothing comes.
    Hang,
}

/// It ends with the test.
pub struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens at `at`, which may have port 0, for `targets`.
    pub fn start(at: SocketAddr, targets: Vec<SocketAddr>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Pass);
        let targets: Arc<[SocketAddr]> = targets.into();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut next = 0;
            while let Ok((client, _)) = listener.accept().await {
                next += 1;
                tokio::spawn(serve(client, next, Arc::clone(&targets), modes.clone()));
            }
        });
        Self { address, mode, runtime: Some(runtime) }
    }

    /// Connections that there are end.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

/// A server that is away is passed over, as a load balancer would.
async fn connect(first: usize, targets: &[SocketAddr]) -> Option<TcpStream> {
    for at in 0..targets.len() {
        if let Ok(server) = TcpStream::connect(targets[(first + at) % targets.len()]).await {
            return Some(server);
        }
    }
    None
}

async fn serve(
    mut client: TcpStream,
    number: usize,
    targets: Arc<[SocketAddr]>,
    mut mode: watch::Receiver<Mode>,
) {
    let is = *mode.borrow_and_update();
    let through = async {
        match is {
            Mode::Gone => {}
            Mode::Hang => std::future::pending().await,
            Mode::Pass => {
                if let Some(mut server) = connect(number, &targets).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            }
        }
    };
    tokio::select! {
        () = through => {}
        _ = mode.changed() => {}
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

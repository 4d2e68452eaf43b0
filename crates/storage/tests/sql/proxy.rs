//! A network with faults: a proxy between a storage and its server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to what the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing arrives any more.
    Hang,
    /// So many bytes of the next answer arrive, then the connection is closed.
    Cut(usize),
    /// So many bytes arrive at a time, with a pause after each.
    Drip(usize, Duration),
    /// Each answer is replaced.
    Garbage(&'static [u8]),
}

/// A proxy on a port of its own.
pub struct Proxy {
    port: u16,
    upstream: u16,
    fault: Arc<Mutex<Fault>>,
    tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn to(upstream: u16) -> Self {
        let mut proxy = Self {
            port: super::process::free_port(),
            upstream,
            fault: Arc::new(Mutex::new(Fault::None)),
            tasks: JoinSet::new(),
        };
        proxy.listen().await;
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For all connections from now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no test panics here") = fault;
    }

    /// Closes all connections and takes no more.
    pub async fn refuse(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Takes connections again.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
        let listener = listener.expect("the port is free");
        let (upstream, fault) = (self.upstream, self.fault.clone());
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, upstream, fault.clone()));
            }
        });
    }
}

async fn forward(client: TcpStream, upstream: u16, fault: Arc<Mutex<Fault>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        return;
    };
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = pump(from_server, to_client, &fault) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    fault: &Mutex<Fault>,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        let data = &buffer[..size];
        let now = *fault.lock().expect("no test panics here");
        let sent = match now {
            Fault::None => to.write_all(data).await,
            Fault::Hang => std::future::pending().await,
            Fault::Cut(limit) => {
                let _ = to.write_all(&data[..size.min(limit)]).await;
                return;
            }
            Fault::Drip(bytes, pause) => drip(&mut to, data, bytes, pause).await,
            Fault::Garbage(bytes) => to.write_all(bytes).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn drip(
    to: &mut (impl AsyncWrite + Unpin),
    data: &[u8],
    bytes: usize,
    pause: Duration,
) -> std::io::Result<()> {
    for part in data.chunks(bytes) {
        to.write_all(part).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

//! A proxy on loopback that does to a connection what networks do.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::free_port;

/// What is done to the connections, old and new.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing.
    None,
    /// What the server says comes this much later.
    Delay(Duration),
    /// Nothing comes through any more, in either direction.
    Hang,
    /// A connection ends after so many bytes from the server.
    Cut(usize),
    /// The same, with RST.
    Reset(usize),
    /// What the server says comes in bits of so many bytes, with a pause between them.
    Drip(usize, Duration),
    /// What the client says is altered: the one text becomes the other, of the same length, when it comes in one piece.
    Replace(&'static str, &'static str),
}

/// The proxy.
pub struct Proxy {
    port: u16,
    server: u16,
    fault: Arc<Mutex<Fault>>,
    listener: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Begins to listen, for a server on a port of 127.0.0.1.
    pub async fn start(server: u16) -> Self {
        let mut proxy = Self {
            port: free_port(),
            server,
            fault: Arc::new(Mutex::new(Fault::None)),
            listener: None,
        };
        proxy.listen().await;
        proxy
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is done from now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Closes all connections and takes no new ones.
    pub async fn refuse(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
            let _ = listener.await;
        }
    }

    /// Takes connections again.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let (server, fault) = (self.server, self.fault.clone());
        self.listener = Some(tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(connect(client, server, fault.clone()));
            }
        }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

async fn connect(mut client: TcpStream, server: u16, fault: Arc<Mutex<Fault>>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let mut said = 0;
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let done = tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(size) if size > 0 => ask(&mut server, &up[..size], &fault).await,
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(size) if size > 0 => answer(&mut client, &down[..size], &mut said, &fault).await,
                _ => return,
            },
        };
        if done.is_err() {
            return;
        }
    }
}

fn now(fault: &Mutex<Fault>) -> Fault {
    fault.lock().unwrap().clone()
}

async fn ask(server: &mut TcpStream, data: &[u8], fault: &Mutex<Fault>) -> io::Result<()> {
    match now(fault) {
        Fault::Hang => hang().await,
        Fault::Replace(from, to) => server.write_all(&replaced(data, from, to)).await,
        _ => server.write_all(data).await,
    }
}

fn replaced(data: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut data = data.to_vec();
    for at in 0..(data.len() + 1).saturating_sub(from.len()) {
        if data[at..].starts_with(from) {
            data[at..at + to.len()].copy_from_slice(to);
        }
    }
    data
}

async fn answer(
    client: &mut TcpStream,
    data: &[u8],
    said: &mut usize,
    fault: &Mutex<Fault>,
) -> io::Result<()> {
    let fault = now(fault);
    match fault {
        Fault::None | Fault::Replace(..) => client.write_all(data).await,
        Fault::Hang => hang().await,
        Fault::Delay(time) => {
            sleep(time).await;
            client.write_all(data).await
        }
        Fault::Cut(size) | Fault::Reset(size) => {
            let left = size.saturating_sub(*said);
            *said += data.len();
            client.write_all(&data[..left.min(data.len())]).await?;
            if *said < size {
                return Ok(());
            }
            if matches!(fault, Fault::Reset(_)) {
                client.set_zero_linger()?;
            }
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Fault::Drip(size, pause) => {
            for bit in data.chunks(size) {
                client.write_all(bit).await?;
                sleep(pause).await;
            }
            Ok(())
        }
    }
}

async fn hang() -> io::Result<()> {
    std::future::pending().await
}

//! A server that gives one answer, whatever it is asked.

// Each test file uses some of it.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// It ends with its owner. An answer of several lines comes line by line, with a pause between them.
pub struct Parrot {
    pub port: u16,
    visits: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Parrot {
    pub async fn saying(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let visits = Arc::new(AtomicUsize::new(0));
        let count = visits.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(repeat(stream, answer));
            }
        });
        Self {
            port: address.port(),
            visits,
            _task: task,
        }
    }

    /// Connections it was asked for.
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

async fn repeat(mut stream: TcpStream, answer: &str) {
    let mut question = [0; 4096];
    while let Ok(1..) = stream.read(&mut question).await {
        for line in answer.split_inclusive('\n') {
            if stream.write_all(line.as_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

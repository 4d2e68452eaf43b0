//! A server that gives one answer, whatever it is asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// It ends with its owner.
pub struct Parrot {
    pub port: u16,
    _task: JoinSet<()>,
}

impl Parrot {
    pub async fn saying(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(repeat(stream, answer));
            }
        });
        Self {
            port: address.port(),
            _task: task,
        }
    }
}

async fn repeat(mut stream: TcpStream, answer: &str) {
    let mut question = [0; 4096];
    while let Ok(1..) = stream.read(&mut question).await {
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

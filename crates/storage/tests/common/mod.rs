//! What the tests of several backends use.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "helpers of tests; each test uses its part"
)]

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use storage::conformance::Time;

pub mod certificates;
pub mod proxy;
pub mod redis;

/// A directory that is removed with all it holds.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("storage-test-{}-{nth}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port of 127.0.0.1 that nobody listens on. It lies below those that connections are given, and each is handed out once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() * 61 + nth) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A process that ends with its owner.
pub struct Process(Child);

impl Process {
    /// Starts it. `package` is where it comes from.
    pub fn start(command: &mut Command, package: &str) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let program = command.get_program().to_string_lossy();
        Self(child.unwrap_or_else(|error| {
            panic!("{program} does not start ({error}): install the Debian package {package}")
        }))
    }

    /// Stops it as it is, without a word to its clients.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: never");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The system's time, for servers that keep lives to the millisecond: the suite waits two seconds more than it must, and here a
/// tenth is enough.
pub struct Exact;

impl Time for Exact {
    fn now(&self) -> u64 {
        now()
    }

    fn pass(&self, seconds: u64) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let time = Duration::from_secs(seconds.saturating_sub(2)) + Duration::from_millis(100);
        Box::pin(tokio::time::sleep(time))
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

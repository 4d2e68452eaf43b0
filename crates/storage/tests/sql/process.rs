//! Folders and processes that end with the test, also when it panics.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A folder of the test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nginx-session-sql-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

/// A process, killed at the end.
pub struct Process(Child);

impl Process {
    /// Starts a program of a Debian package.
    pub fn start(package: &str, command: &mut Command) -> Self {
        let command = command.current_dir("/").stdin(Stdio::null());
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Self(child),
            Err(error) => panic!("{command:?}: {error}; is the package {package} installed?"),
        }
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }

    /// A signal to it and the processes it has started.
    pub fn signal_all(&self, name: &str) {
        for id in self.family() {
            // A child that has just ended is no trouble.
            let _ = Command::new("kill").args(["-s", name, &id]).output();
        }
    }

    /// Returns when they all stand still.
    pub fn freeze(&self) {
        self.signal_all("STOP");
        let began = Instant::now();
        while !self.family().all(|id| is_stopped(&id)) {
            assert!(began.elapsed() < Duration::from_secs(5), "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its id, and those of the processes it has started.
    fn family(&self) -> impl Iterator<Item = String> {
        let id = self.0.id().to_string();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let mut family: Vec<_> = children.split_whitespace().map(str::to_owned).collect();
        family.insert(0, id);
        family.into_iter()
    }

    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill -s {name}"
        );
    }
}

/// All of its threads are stopped, or it has ended and only its parent, which is stopped, does not know.
fn is_stopped(id: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let mut states =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    states.all(|state| {
        state
            .rsplit(") ")
            .next()
            .is_some_and(|state| state.starts_with(['T', 'Z']))
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

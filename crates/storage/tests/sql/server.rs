//! A database server on a port and a socket of its own, with the schema of scripts/schema.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use storage::config::Secret;
use storage::mysql::{Mysql, MysqlConfig};
use storage::postgres::{Postgres, PostgresConfig};
use storage::{Common, ConfigError, Server, Storage};

use super::process::{Folder, Process, free_port};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Mysql,
}

/// A server that ends with the test.
pub struct Database {
    pub dialect: Dialect,
    pub port: u16,
    options: Vec<String>,
    folder: Folder,
    process: Option<Process>,
}

/// What a test may change of a storage's configuration.
pub struct Settings {
    pub common: Common,
    pub server: Server,
    pub database: String,
    pub table: String,
    pub table_meta: String,
}

pub const PASSWORD: &str = "hunter2-hunter2";

impl Database {
    pub fn start(dialect: Dialect) -> Self {
        Self::start_with(dialect, |_| Vec::new())
    }

    /// With options that may name files of the server's folder.
    pub fn start_with(dialect: Dialect, options: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = Folder::new();
        let template = template(dialect);
        run(Command::new("cp")
            .arg("-a")
            .arg(&template)
            .arg(folder.path().join("data")));
        let options = options(folder.path());
        if is_root() {
            run(Command::new("chown").arg(dialect.user()).arg(folder.path()));
        }
        let mut database = Self {
            dialect,
            port: free_port(),
            options,
            folder,
            process: None,
        };
        database.boot();
        database.make_tables(&[]);
        database
    }

    /// With scripts/schema, for the user of the storages.
    pub fn make_tables(&self, options: &[&str]) {
        self.sql(&schema(self.dialect, options));
        self.sql(match self.dialect {
            Dialect::Postgres => {
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO nginx"
            }
            Dialect::Mysql => "GRANT SELECT, INSERT, UPDATE, DELETE ON app.* TO nginx@'%'",
        });
    }

    /// Starts it, again if need be.
    pub fn boot(&mut self) {
        let mut command = self.dialect.command(self.folder.path(), self.port);
        self.process = Some(Process::start(
            self.dialect.package(),
            command.args(&self.options),
        ));
        let began = Instant::now();
        while self.try_sql("SELECT 1").is_none() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{:?} does not start",
                self.dialect
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal_all("CONT");
            // PostgreSQL leaves shared memory behind when it is killed.
            process.signal(if self.dialect == Dialect::Postgres {
                "QUIT"
            } else {
                "KILL"
            });
            let began = Instant::now();
            while !process.has_ended() && began.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").freeze();
    }

    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal_all("CONT");
    }

    /// What the server's own client says.
    pub fn sql(&self, statement: &str) -> String {
        self.try_sql(statement)
            .unwrap_or_else(|| panic!("{statement} fails"))
    }

    pub fn try_sql(&self, statement: &str) -> Option<String> {
        let output = self
            .dialect
            .client(self.folder.path(), self.port)
            .arg(statement)
            .output();
        let output = output.expect("the client can be started");
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A client that stays for as long as its statement takes.
    pub fn session(&self, statement: &str) -> Child {
        let mut client = self.dialect.client(self.folder.path(), self.port);
        let client = client
            .arg(statement)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        client.spawn().expect("the client can be started")
    }

    pub fn socket(&self) -> Server {
        Server::Unix(self.dialect.socket(self.folder.path(), self.port))
    }

    /// A storage on it.
    pub fn storage(&self) -> Box<dyn Storage> {
        self.storage_with(|_| ())
    }

    pub fn storage_with(&self, edit: impl FnOnce(&mut Settings)) -> Box<dyn Storage> {
        self.try_storage(edit)
            .expect("the configuration can be used")
    }

    pub fn try_storage(
        &self,
        edit: impl FnOnce(&mut Settings),
    ) -> Result<Box<dyn Storage>, ConfigError> {
        let mut settings = Settings {
            common: Common {
                username: Some("nginx".into()),
                password: Some(Secret::new(PASSWORD.into())),
                ..Common::default()
            },
            server: Server::parse("127.0.0.1", self.port)?,
            database: "app".into(),
            table: "sessions".into(),
            table_meta: "sessions_meta".into(),
        };
        edit(&mut settings);
        let Settings {
            common,
            server,
            database,
            table,
            table_meta,
        } = settings;
        Ok(match self.dialect {
            Dialect::Postgres => Box::new(Postgres::new(PostgresConfig {
                common,
                server,
                database,
                table,
                table_meta,
                application: None,
            })?),
            Dialect::Mysql => Box::new(Mysql::new(MysqlConfig {
                common,
                server,
                database,
                table,
                table_meta,
                charset: None,
            })?),
        })
    }

    /// Connections of the user that the storages log in as.
    pub fn connections(&self) -> usize {
        let count = self.sql(match self.dialect {
            Dialect::Postgres => "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'nginx'",
            Dialect::Mysql => {
                "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'nginx'"
            }
        });
        count.parse().expect("it is a number")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Dialect {
    fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Mysql => "mariadb-server",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    /// The user of the package: the servers do not run as root.
    fn user(self) -> &'static str {
        self.name()
    }

    /// A file to the server's user, who is the only one to read it.
    pub fn give(self, file: &Path) {
        run(Command::new("chown").arg(self.user()).arg(file));
        run(Command::new("chmod").arg("600").arg(file));
    }

    fn socket(self, folder: &Path, port: u16) -> PathBuf {
        match self {
            Self::Postgres => folder.join(format!(".s.PGSQL.{port}")),
            Self::Mysql => folder.join("socket"),
        }
    }

    /// A command as the server's user.
    fn as_user(self, program: &Path) -> Command {
        if !is_root() {
            return Command::new(program);
        }
        let user = self.user();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", user, "--regid", user, "--clear-groups"])
            .arg(program);
        command
    }

    fn command(self, folder: &Path, port: u16) -> Command {
        let (data, socket) = (folder.join("data"), self.socket(folder, port));
        match self {
            Self::Postgres => {
                let mut command = self.as_user(&postgres_program("postgres"));
                command
                    .arg("-D")
                    .arg(data)
                    .arg("-k")
                    .arg(folder)
                    .args(["-p", &port.to_string()]);
                command.args([
                    "-h",
                    "127.0.0.1",
                    "-c",
                    "fsync=off",
                    "-c",
                    "max_connections=30",
                ]);
                command
            }
            Self::Mysql => {
                let mut command = self.as_user(Path::new("/usr/sbin/mariadbd"));
                command
                    .arg("--no-defaults")
                    .arg(option("--datadir", &data))
                    .arg(option("--socket", &socket));
                command.arg(option("--pid-file", &folder.join("pid")));
                command.args([
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    "--skip-log-bin",
                ]);
                command.args(["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M"]);
                command.args([
                    "--innodb-flush-log-at-trx-commit=2",
                    "--innodb-fast-shutdown=2",
                ]);
                command.arg(format!("--port={port}"));
                command
            }
        }
    }

    /// Runs the statement that is its last argument, in the database of the tests if it is there.
    fn client(self, folder: &Path, port: u16) -> Command {
        match self {
            Self::Postgres => {
                let mut command = Command::new(postgres_program("psql"));
                command
                    .arg("-h")
                    .arg(folder)
                    .args(["-p", &port.to_string(), "-U", "postgres"]);
                command.args(["-d", "app", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c"]);
                command
            }
            Self::Mysql => {
                let mut command = Command::new("mariadb");
                command
                    .arg("--no-defaults")
                    .arg(option("--socket", &self.socket(folder, port)));
                command.args(["-u", "root", "-D", "app", "-N", "-B", "-e"]);
                command
            }
        }
    }

    /// Makes the files of a server with the database, the tables and the user of the tests.
    fn initialise(self, folder: &Path) {
        let data = folder.join("data");
        match self {
            Self::Postgres => {
                let mut command = self.as_user(&postgres_program("initdb"));
                command.arg("-D").arg(&data).args([
                    "-U",
                    "postgres",
                    "--no-sync",
                    "-E",
                    "UTF8",
                    "--no-locale",
                    "--wal-segsize=1",
                ]);
                run(command.args(["--auth-local=trust", "--auth-host=scram-sha-256"]));
                let single = |database: &str, statements: &str| {
                    let mut server = self.as_user(&postgres_program("postgres"));
                    server.args(["--single", "-D"]).arg(&data).arg(database);
                    feed(&mut server, statements);
                };
                single("postgres", "CREATE DATABASE app\n");
                // What is not there need not be copied for each test.
                single(
                    "app",
                    &format!(
                        "UPDATE pg_database SET datistemplate = false\nDROP DATABASE template0\n\
                         DROP DATABASE template1\nDROP DATABASE postgres\n\
                         CREATE ROLE nginx LOGIN PASSWORD '{PASSWORD}'\n"
                    ),
                );
            }
            Self::Mysql => {
                let mut command = self.as_user(Path::new("/usr/bin/mariadb-install-db"));
                command
                    .arg("--no-defaults")
                    .arg(option("--datadir", &data))
                    .arg("--skip-test-db");
                run(command.args([
                    "--auth-root-authentication-method=normal",
                    "--innodb-log-file-size=4M",
                ]));
                let mut boot = self.as_user(Path::new("/usr/sbin/mariadbd"));
                boot.arg("--no-defaults")
                    .arg("--bootstrap")
                    .arg(option("--datadir", &data));
                let user = format!("nginx@'%' IDENTIFIED BY '{PASSWORD}'");
                feed(
                    boot.arg("--innodb-log-file-size=4M"),
                    &format!("CREATE DATABASE app;\nFLUSH PRIVILEGES;\nCREATE USER {user};\n"),
                );
            }
        }
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// Making a server's files takes a second, copying them does not: they are kept for the next test and the next run.
fn template(dialect: Dialect) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-5", dialect.name()));
    if made.exists() {
        return made;
    }
    let folder = Folder::new();
    if is_root() {
        run(Command::new("chown").arg(dialect.user()).arg(folder.path()));
    }
    dialect.initialise(folder.path());
    let part = made.with_extension(std::process::id().to_string());
    run(Command::new("cp")
        .arg("-a")
        .arg(folder.path().join("data"))
        .arg(&part));
    // Another run may have been faster.
    if fs::rename(&part, &made).is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    made
}

/// The newest version that is there.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions.max_by_key(|version| {
        version
            .file_name()
            .to_string_lossy()
            .parse::<u32>()
            .unwrap_or(0)
    });
    match newest {
        Some(version) => version.path().join("bin").join(name),
        None => panic!(
            "there is no {name} in /usr/lib/postgresql; is the package postgresql installed?"
        ),
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn run(command: &mut Command) {
    let output = command.current_dir("/").output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; see CONTRIBUTING.md for the packages")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn feed(command: &mut Command, input: &str) {
    use std::io::Write;
    let command = command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it can be started");
    let mut stdin = child.stdin.take().expect("it has one");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR"),
        "{command:?}: {said}"
    );
}

/// What scripts/schema says.
pub fn schema(dialect: Dialect, options: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/schema");
    let output = Command::new(script)
        .arg(dialect.name())
        .args(options)
        .output();
    let output = output.expect("scripts/schema can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it is text")
}

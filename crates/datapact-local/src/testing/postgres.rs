//! A real PostgreSQL server for tests, in a temporary folder, on a socket. It ends and is removed
//! with the process that started it, however that ends.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use datapact_core::id::Salt;

const USER: &str = "datapact";
/// PostgreSQL does not run as root; this is `nobody` everywhere.
const NOBODY: u32 = 65534;
/// In the socket's name only.
const PORT: u16 = 5432;

/// Where a database of a test's own is, and who owns it.
#[derive(Debug, Clone)]
pub struct Database {
    /// The folder of the server's socket.
    pub host: String,
    /// The number in the socket's name.
    pub port: u16,
    /// Its name.
    pub database: String,
    /// The role that owns it.
    pub user: String,
    /// The role's password.
    pub password: String,
}

/// A running PostgreSQL server.
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    password: String,
    databases: AtomicU64,
    /// Ends the server and removes the folder when its standard input is closed.
    keeper: Child,
}

/// The one server of this test program. None, and the test is skipped, without PostgreSQL.
pub fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    // Every test looks for the programs, so that each is skipped by its own name.
    datapact_test_tools::postgres()?;
    SERVER.get_or_init(Server::start).as_ref()
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

impl Server {
    /// Starts a server of its own. None, and the test is skipped, without PostgreSQL.
    pub fn start() -> Option<Self> {
        let programs = datapact_test_tools::postgres()?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made").keep();
        let password = Salt::random().to_string();
        let secret = folder.join("password");
        fs::File::create(&secret)
            .and_then(|mut file| file.write_all(password.as_bytes()))
            .expect("writable");
        if is_root() {
            for path in [&folder, &secret] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))
                    .expect("root may give it away");
            }
        }
        // Started before the server: however this process ends, its standard input is closed then.
        let keeper = command(Path::new("/bin/sh"))
            .args([
                "-c",
                "cat >/dev/null; \"$1/pg_ctl\" -D \"$2/data\" -m immediate stop; rm -rf \"$2\"",
                "sh",
            ])
            .args([&programs, &folder])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let server = Self { programs, folder, password, databases: AtomicU64::new(0), keeper };
        let made = command(&server.programs.join("initdb"))
            .args([
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-A",
                "scram-sha-256",
                "-U",
                USER,
                "--pwfile",
            ])
            .arg(&secret)
            .arg("-D")
            .arg(server.folder.join("data"))
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb failed");
        server.resume();
        Some(server)
    }

    /// Ends the server at once, as a crash of its machine would.
    pub fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts it again, and waits until it answers.
    pub fn resume(&self) {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c fsync=off \
             -c max_connections=300",
            self.folder.display()
        );
        let log = self.folder.join("log").display().to_string();
        self.control(&["-w", "-t", "300", "-l", &log, "-o", &options, "start"]);
    }

    fn control(&self, arguments: &[&str]) {
        let status = command(&self.programs.join("pg_ctl"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(arguments)
            .status();
        let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(status.is_ok_and(|status| status.success()), "pg_ctl {arguments:?}:\n{}", log());
    }

    /// The folder with the server's files.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A new database with all that `database` holds, which must not be in use; its name.
    pub fn copy_of(&self, database: &str) -> String {
        self.new_database(&format!(" TEMPLATE {database}"))
    }

    /// A new database, made with these options; its name.
    fn new_database(&self, options: &str) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let made = command(&self.programs.join("psql"))
            .env("PGPASSWORD", &self.password)
            .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres", "-h"])
            .arg(&self.folder)
            .args(["-p", &PORT.to_string(), "-c", &format!("CREATE DATABASE {name}{options}")])
            .status();
        assert!(made.is_ok_and(|status| status.success()), "no database can be made");
        name
    }

    /// A new, empty database.
    pub fn database(&self) -> Database {
        let name = self.new_database("");
        Database {
            host: self.folder.display().to_string(),
            port: PORT,
            database: name,
            user: USER.to_owned(),
            password: self.password.clone(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

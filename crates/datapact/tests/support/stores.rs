//! The stores that a site's servers use: database files and folders, or, with
//! `DATAPACT_TEST_STORES=remote`, a real PostgreSQL server and a real S3 server, started by the
//! test.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use datapact_core::id::Salt;
use datapact_local::testing::postgres;
use datapact_store::{Location, Postgres};
use tempfile::TempDir;

const BUCKET: &str = "packages";
const ACCESS_KEY: &str = "datapact";

/// Whether the tests are to run on PostgreSQL and S3.
pub fn remote() -> bool {
    match std::env::var("DATAPACT_TEST_STORES").as_deref() {
        Err(_) | Ok("" | "local") => false,
        Ok("remote") => true,
        Ok(other) => panic!("DATAPACT_TEST_STORES is `local` or `remote`, not `{other}`"),
    }
}

/// What a site's servers use beyond their data folders.
pub struct Stores {
    /// Of each role.
    databases: Vec<(&'static str, Postgres)>,
    pub s3: S3,
}

impl Stores {
    /// Makes a database for each of `roles`, and a bucket.
    pub fn start(roles: &[&'static str]) -> Self {
        Self::start_on(
            postgres::shared().expect("DATAPACT_TEST_STORES=remote needs PostgreSQL"),
            roles,
        )
    }

    /// The same, with databases of this server.
    pub fn start_on(server: &postgres::Server, roles: &[&'static str]) -> Self {
        let named = |role: &&'static str| {
            let new = server.database();
            let database = Postgres {
                host: new.host,
                port: new.port,
                database: new.database,
                user: new.user,
                password: Some(new.password.into()),
                ca: None,
            };
            (*role, database)
        };
        Self { databases: roles.iter().map(named).collect(), s3: S3::start() }
    }

    pub fn database(&self, role: &str) -> &Postgres {
        &self.databases.iter().find(|(of, _)| *of == role).unwrap().1
    }

    pub fn location(&self, role: &str) -> Location {
        Location::Postgres(self.database(role).clone())
    }

    /// Makes a server's configuration file name its database and, for the storage server, the
    /// bucket.
    pub fn configure(&self, role: &str, config: &Path) {
        let folder = config.parent().unwrap();
        let Postgres { host, port, database, user, password, .. } = self.database(role);
        write_secret(&folder.join("database.password"), password.as_ref().unwrap());
        let mut text = format!(
            "\n[server.database]\nhost = \"{host}\"\nport = {port}\nname = \"{database}\"\n\
             user = \"{user}\"\npassword_file = \"database.password\"\n"
        );
        if role == "storage" {
            text.push_str(&self.s3.configuration(folder, &self.s3.endpoint));
        }
        File::options().append(true).open(config).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

/// An S3 server with one bucket, in a temporary folder.
pub struct S3 {
    pub endpoint: String,
    secret: String,
    folder: TempDir,
    server: Child,
}

/// The S3 server's program; without it the test is skipped.
pub fn rclone() -> Option<PathBuf> {
    datapact_test_tools::program("rclone", "pip install -r testdata/requirements.txt")
}

impl S3 {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let secret = Salt::random().to_string();
        // The shell ends the server when this process ends, however it does.
        let mut server = Command::new("/bin/sh")
            .args([
                "-c",
                "\"$0\" \"$@\" </dev/null & exec 2>/dev/null; cat >/dev/null; kill $!; wait $!",
            ])
            .arg(rclone().expect("tests that need it ask for it first"))
            .args(["serve", "s3", "--addr", "127.0.0.1:0", "--config", ""])
            // A secret of this test's alone.
            .args(["--auth-key", &format!("{ACCESS_KEY},{secret}")])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let endpoint = log.find_map(|line| {
            let starts = line
                .split_once("Starting s3 server on [")
                .and_then(|(_, rest)| rest.split_once("/]"));
            let endpoint = starts.map(|(endpoint, _)| endpoint.to_owned());
            said.push(line);
            endpoint
        });
        std::thread::spawn(move || log.for_each(drop));
        let endpoint = endpoint.unwrap_or_else(|| panic!("rclone does not serve: {said:?}"));
        Self { endpoint, secret, folder, server }
    }

    /// The storage server's table that names the bucket, reached at `endpoint`; its secret is
    /// written to `folder`.
    pub fn configuration(&self, folder: &Path, endpoint: &str) -> String {
        write_secret(&folder.join("s3.secret"), &self.secret);
        format!(
            "\n[objects]\nbucket = \"{BUCKET}\"\nendpoint = \"{endpoint}\"\n\
             access_key_id = \"{ACCESS_KEY}\"\nsecret_key_file = \"s3.secret\"\n"
        )
    }

    /// Where the bucket's objects lie as files.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

fn write_secret(path: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

//! Redis servers that a test may kill, freeze and start again.
use crate::databases::server;
use std::ffi::OsString;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server of this test alone; ended with this value.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
    /// What runs the server's command line, first word first.
    launcher: Vec<OsString>,
    /// Beside those that every server gets.
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        Self::launched(Vec::new(), Vec::new())
    }

    /// The same with further arguments.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::launched(Vec::new(), arguments.iter().map(|it| (*it).to_owned()).collect())
    }

    /// The same through a command that runs the one behind its own words, in its place.
    #[must_use]
    pub fn started_by(launcher: Vec<OsString>) -> Self {
        Self::launched(launcher, Vec::new())
    }

    fn launched(launcher: Vec<OsString>, arguments: Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let mut this = Self { folder, port: 0, process: None, launcher, arguments };
        // Another process may take the port between the look and the start.
        for _ in 0..20 {
            this.port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if this.try_start() {
                return this;
            }
        }
        panic!("no Redis server could be started");
    }

    /// `redis://` address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends it at once; what it held is lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again on the same port: empty, or with what `SAVE` has written.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while !self.try_start() {
            assert!(Instant::now() < deadline, "Redis does not start again on port {}", self.port);
        }
    }

    /// Stops it where it stands: it accepts connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id();
        let status = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().unwrap();
        assert!(status.success());
    }

    fn try_start(&mut self) -> bool {
        let mut words = self.launcher.clone();
        words.push(server("TEST_REDIS_SERVER").into());
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
            .arg(self.port.to_string())
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.process = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

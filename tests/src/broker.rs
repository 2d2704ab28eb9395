//! The real binary as a process of its own: started on free ports, killed or stopped, asked over HTTP.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A running broker.
pub struct BrokerProcess {
    child: Child,
    /// `pulsar://ip:port`.
    pub service_url: String,
    /// `http://ip:port`.
    pub web_url: String,
}

/// The binary: what `LONGSHORE_BIN` names, else built in the profile of the tests if need be.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("LONGSHORE_BIN") {
        return named.into();
    }
    static BUILD: Once = Once::new();
    let test = std::env::current_exe().expect("the test binary has a path");
    let folder = test.parent().and_then(Path::parent).expect("tests are built in target/<profile>/deps");
    BUILD.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "longshore"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.status().expect("cargo runs");
        assert!(built.success(), "the binary cannot be built");
    });
    folder.join("longshore")
}

impl BrokerProcess {
    /// Starts a broker with `settings` (keys of the configuration file) and its data in `folder`, and waits until it is
    /// ready. Its log goes to `folder/broker.log`.
    pub fn start(folder: &Path, settings: &[(&str, String)]) -> Result<Self> {
        let file = folder.join("broker.conf");
        let fixed = [
            ("brokerServicePort", "0".to_owned()),
            ("webServicePort", "0".to_owned()),
            ("bindAddress", "127.0.0.1".to_owned()),
            ("advertisedAddress", "127.0.0.1".to_owned()),
            ("longshoreDataDirectory", folder.join("data").display().to_string()),
        ];
        let lines: String = fixed.iter().chain(settings).map(|(key, value)| format!("{key}={value}\n")).collect();
        std::fs::write(&file, lines)?;
        let mut command = Command::new(binary());
        command.args(["standalone", "--config"]).arg(&file);
        Self::of_command(command, folder)
    }

    /// Runs a command that is to be a broker, and waits until it is ready. Its log goes to `folder/broker.log`.
    pub fn of_command(mut command: Command, folder: &Path) -> Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("broker.log"))?;
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().context("start the broker")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the broker has an output")?;
        BufReader::new(output).read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(service_url), Some(web_url)) = (
            words.iter().find(|word| word.starts_with("pulsar://")),
            words.iter().find(|word| word.starts_with("http://")),
        ) else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the broker did not start, it said `{line}`: {}", log_tail(folder));
        };
        Ok(Self { service_url: (*service_url).to_owned(), web_url: (*web_url).to_owned(), child })
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop and waits for that.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "send SIGTERM to {pid}");
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the broker ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the broker does not stop")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes: now, and the highest so far.
    pub fn memory_bytes(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map(|kib| kib << 10)
        };
        Ok((field("VmRSS:").context("VmRSS")?, field("VmHWM:").context("VmHWM")?))
    }

    /// `GET` under `/admin/v2`.
    pub fn get(&self, path: &str) -> Result<Value> {
        let text = ureq::get(format!("{}/admin/v2{path}", self.web_url)).call()?.into_body().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("GET {path} answered `{text}`"))
    }

    /// `PUT` with a JSON body under `/admin/v2`.
    pub fn put(&self, path: &str, body: &Value) -> Result<()> {
        ureq::put(format!("{}/admin/v2{path}", self.web_url))
            .header("content-type", "application/json")
            .send(body.to_string())?;
        Ok(())
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a broker's log.
pub fn log_tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("broker.log")).unwrap_or_default();
    let start = log.len().saturating_sub(4000);
    log.get(start..).unwrap_or(&log).to_owned()
}

//! Proves that a package runs where it is unpacked, with nothing of the machine but what is promised. Which package, the variable
//! `LONGSHORE_PACKAGE` says (`scripts/test package` makes one); without it these tests are left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use longshore_tests::broker::BrokerProcess;

/// Libraries that docs/operate/installing.md promises to be enough.
const LIBRARIES: [&str; 4] = ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6"];
/// Where a system has them.
const LIBRARY_FOLDERS: [&str; 4] = ["/lib64", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/x86_64-linux-gnu"];

struct Unpacked {
    /// Everything of the test's lies here.
    ground: tempfile::TempDir,
    /// What was unpacked.
    root: PathBuf,
}

/// The package, unpacked; `None` where none is named, which is said.
fn unpack() -> Result<Option<Unpacked>> {
    let Some(archive) = std::env::var_os("LONGSHORE_PACKAGE") else {
        eprintln!("SKIPPED: LONGSHORE_PACKAGE names no package");
        return Ok(None);
    };
    let ground = tempfile::tempdir()?;
    let unpacked = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(ground.path()).status()?;
    ensure!(unpacked.success(), "tar ended with {unpacked}");
    let entries = std::fs::read_dir(ground.path())?.collect::<std::io::Result<Vec<_>>>()?;
    let [root] = &entries[..] else { bail!("the package has {} entries and not one folder", entries.len()) };
    let root = root.path();
    Ok(Some(Unpacked { ground, root }))
}

impl Unpacked {
    /// A program of the package, with an empty environment, called from elsewhere.
    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.root.join("bin").join(name));
        command.args(arguments).current_dir("/").env_clear();
        command
    }

    fn longshore(&self, arguments: &[&str]) -> Result<String> {
        succeeded(self.program("longshore", arguments).output()?)
    }

    fn broker(&self, mut command: Command) -> Result<BrokerProcess> {
        command.env("PULSAR_PREFIX_brokerServicePort", "0").env("PULSAR_PREFIX_webServicePort", "0");
        BrokerProcess::of_command(command, self.ground.path())
    }
}

fn succeeded(output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    ensure!(output.status.success(), "it ended with {}: {said}", output.status);
    Ok(said)
}

#[test]
fn every_path_of_the_tutorials_is_there_and_only_the_owner_may_write() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(unpacked) = unpack()? else { return Ok(()) };
    for path in [
        "LICENSE",
        "README.md",
        "bin/longshore",
        "bin/pulsar",
        "conf/client.conf",
        "conf/filesystem_offload_core_site.xml",
        "conf/pulsar_env.sh",
        "conf/standalone.conf",
        "docs/operate/installing.md",
        "lib/container/Containerfile",
        "lib/systemd/longshore.service",
        "licenses/README.md",
        "sdk/plugin-api/Cargo.toml",
        "sdk/plugin-api/include/offloader.h",
        "sdk/plugins/conformance/Cargo.toml",
    ] {
        ensure!(unpacked.root.join(path).is_file(), "{path} is missing");
    }
    let mut todo = vec![unpacked.root.clone()];
    while let Some(path) = todo.pop() {
        let metadata = std::fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            todo.extend(std::fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?);
        }
        let open = metadata.permissions().mode() & 0o022 != 0 && !metadata.is_symlink();
        ensure!(!open, "others may write {}", path.display());
    }
    Ok(())
}

/// The main job, with what is unpacked alone: messages in, ledgers offloaded through the package's plugin, everything back.
#[test]
fn the_main_job_is_done_without_environment_and_path() -> Result<()> {
    let Some(unpacked) = unpack()? else { return Ok(()) };
    let mut command = unpacked.program("pulsar", &["standalone", "-a", "127.0.0.1"]);
    command.env("PULSAR_PREFIX_managedLedgerMaxEntriesPerLedger", "100");
    let broker = unpacked.broker(command)?;
    let url = broker.service_url.replace("0.0.0.0", "127.0.0.1");
    let web = broker.web_url.replace("0.0.0.0", "127.0.0.1");
    let listed = unpacked.longshore(&["offloaders", "status", "--admin-url", &web])?;
    for driver in ["filesystem", "aws-s3", "google-cloud-storage", "azureblob", "aliyun-oss"] {
        ensure!(listed.contains(driver), "{driver} is not served: {listed}");
    }
    let said = unpacked.longshore(&["demo", "--url", &url, "--admin-url", &web, "-n", "1000"])?;
    ensure!(unpacked.root.join("data/offloaded").is_dir(), "nothing was offloaded: {said}");
    broker.stop()
}

#[test]
fn the_sdk_is_found_beside_the_program() -> Result<()> {
    let Some(unpacked) = unpack()? else { return Ok(()) };
    let folder = unpacked.ground.path().display().to_string();
    unpacked.longshore(&["offloaders", "new", "my-driver", "--directory", &folder])?;
    let manifest = std::fs::read_to_string(unpacked.ground.path().join("my-driver/Cargo.toml"))?;
    let sdk = unpacked.root.join("sdk").canonicalize()?;
    ensure!(manifest.contains(&sdk.display().to_string()), "{manifest}");
    Ok(())
}

/// A world of the package, the four libraries that are promised, and /proc: no shell, no /etc, no /tmp, no other device.
#[test]
fn it_runs_in_a_world_of_four_libraries() -> Result<()> {
    let Some(unpacked) = unpack()? else { return Ok(()) };
    let world = unpacked.ground.path().join("world");
    for library in LIBRARIES {
        let found = LIBRARY_FOLDERS.iter().map(|folder| Path::new(folder).join(library)).find(|file| file.exists());
        let found = found.with_context(|| format!("{library} is in none of {LIBRARY_FOLDERS:?}"))?;
        let folder = world.join(if library.starts_with("ld-") { "lib64" } else { "lib/x86_64-linux-gnu" });
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(found, folder.join(library))?;
    }
    std::fs::create_dir_all(world.join("proc"))?;
    std::fs::rename(&unpacked.root, world.join("longshore"))?;
    let enter = |arguments: &[&str]| {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(format!("--root={}", world.display())).args(arguments).env_clear();
        command
    };
    // Where user namespaces are forbidden, there is no other world to be had.
    if !enter(&["/longshore/bin/longshore", "--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: unshare cannot make a root of its own here");
        return Ok(());
    }
    let said = succeeded(enter(&["/longshore/bin/pulsar", "version"]).output()?)?;
    ensure!(said.contains("4.0.6"), "{said}");
    let broker = unpacked.broker(enter(&["/longshore/bin/pulsar", "standalone"]))?;
    ensure!(world.join("longshore/data").is_dir());
    // The signal reaches unshare, which takes the broker along.
    broker.kill()
}

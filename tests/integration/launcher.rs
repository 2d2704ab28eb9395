//! Proves that the program, called `pulsar` in an unpacked folder, is the original's launcher: flags, files and environment of the
//! original have their effect, on the broker that it becomes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use longshore_tests::broker::{BrokerProcess, binary};

/// Keys and values that Apache Pulsar 4.0.6 ships as conf/standalone.conf.
const ORIGINAL: &str = include_str!("../../host/src/config/pulsar-4.0.6.properties");

/// A folder as it is unpacked: `bin/pulsar` is a link to the program beside it.
struct Unpacked(tempfile::TempDir);

impl Unpacked {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let this = Self(folder);
        std::fs::create_dir_all(this.path("bin"))?;
        std::fs::create_dir_all(this.path("conf"))?;
        if std::fs::hard_link(binary(), this.path("bin/longshore")).is_err() {
            std::fs::copy(binary(), this.path("bin/longshore"))?;
        }
        std::os::unix::fs::symlink("longshore", this.path("bin/pulsar"))?;
        Ok(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(name), text).with_context(|| format!("write {name}"))
    }

    /// `bin/pulsar`, called from another folder, on free ports.
    fn pulsar(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/pulsar"));
        command.args(arguments).current_dir("/").env("PULSAR_PREFIX_brokerServicePort", "0");
        command.env("PULSAR_PREFIX_webServicePort", "0").env_remove("PULSAR_EXTRA_OPTS");
        command
    }

    fn start(&self, command: Command) -> Result<BrokerProcess> {
        BrokerProcess::of_command(command, self.0.path())
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path("broker.log"))?)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn variables(broker: &BrokerProcess) -> Result<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{}/environ", broker.pid()))?;
    Ok(bytes.split(|byte| *byte == 0).map(|one| String::from_utf8_lossy(one).into_owned()).collect())
}

fn value(broker: &BrokerProcess, key: &str) -> Result<String> {
    let configuration = broker.get("/brokers/configuration/runtime")?;
    Ok(configuration[key].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_tutorials_first_step_works_on_the_originals_own_files() -> Result<()> {
    let unpacked = Unpacked::new()?;
    let appended = "managedLedgerOffloadDriver=aws-s3\ns3ManagedLedgerOffloadBucket=\"test-pulsar-offload\"\n\
                    managedLedgerMaxEntriesPerLedger=5000";
    unpacked.write("conf/standalone.conf", &format!("{ORIGINAL}{appended}"))?;
    unpacked.write(
        "conf/pulsar_env.sh",
        "export AWS_ACCESS_KEY_ID=ABC123456789\nPULSAR_MEM=${PULSAR_MEM:-\"-Xms2g -Xmx2g\"}\n\
         PULSAR_EXTRA_OPTS=\"${PULSAR_EXTRA_OPTS} ${PULSAR_MEM} -Daws.secretKey=hush-hush -Dpulsar.extra.offload.drivers=tape\"\n",
    )?;
    let mut command = unpacked.pulsar(&["standalone", "-a", "127.0.0.1", "-nfw", "-nss", "--num-bookies", "1"]);
    command.env("PULSAR_PREFIX_clusterName", "${CLUSTER}").env("CLUSTER", "north");
    let broker = unpacked.start(command)?;

    // The broker is the process that was started.
    let program = std::fs::read_link(format!("/proc/{}/exe", broker.pid()))?;
    ensure!(program == unpacked.path("bin/longshore").canonicalize()?, "{}", program.display());
    ensure!(variables(&broker)?.contains(&"AWS_ACCESS_KEY_ID=ABC123456789".to_owned()));
    for (key, want) in [
        ("s3ManagedLedgerOffloadBucket", "test-pulsar-offload"),
        ("managedLedgerMaxEntriesPerLedger", "5000"),
        ("clusterName", "north"),
        ("advertisedAddress", "127.0.0.1"),
        ("pulsar.extra.offload.drivers", "tape"),
        ("aws.secretKey", "***"),
    ] {
        let found = value(&broker, key)?;
        ensure!(found == want, "{key} is {found}, not {want}");
    }
    ensure!(unpacked.path("data").is_dir(), "the data lies in the unpacked folder");
    let log = unpacked.log()?;
    for line in [
        "flags that have no effect here: --no-functions-worker --no-stream-storage --num-bookies",
        "options in PULSAR_EXTRA_OPTS that have no effect here: -Xms2g -Xmx2g",
        "keys of Apache Pulsar that have no effect here, which is harmless: ",
    ] {
        ensure!(log.matches(line).count() == 1, "`{line}` is not once in\n{log}");
    }
    ensure!(!log.contains("hush"), "{log}");
    broker.stop()
}

#[test]
fn data_is_wiped_when_asked_and_kept_otherwise() -> Result<()> {
    let unpacked = Unpacked::new()?;
    unpacked.write("conf/standalone.conf", "")?;
    let has_tenant =
        |broker: &BrokerProcess| Ok::<_, anyhow::Error>(broker.get("/tenants")?.to_string().contains("\"x\""));
    let broker = unpacked.start(unpacked.pulsar(&["standalone"]))?;
    let tenant = serde_json::json!({"adminRoles": [], "allowedClusters": ["standalone"]});
    broker.put("/tenants/x", &tenant)?;
    broker.stop()?;
    let broker = unpacked.start(unpacked.pulsar(&["standalone", "--wipe-data=false"]));
    ensure!(broker.is_err(), "it is a flag without a value, as in the original");
    let broker = unpacked.start(unpacked.pulsar(&["standalone"]))?;
    ensure!(has_tenant(&broker)?);
    broker.stop()?;
    let broker = unpacked.start(unpacked.pulsar(&["standalone", "--wipe-data"]))?;
    ensure!(!has_tenant(&broker)?);
    broker.stop()
}

#[test]
fn a_bare_machine_has_neither_shell_nor_path() -> Result<()> {
    let unpacked = Unpacked::new()?;
    unpacked.write("conf/pulsar_env.sh", "#!/usr/bin/env bash\n# export AWS_ACCESS_KEY_ID=ABC\n")?;
    let named = unpacked.path("elsewhere.conf");
    unpacked.write(
        "elsewhere.conf",
        "brokerServicePort=0\nwebServicePort=0\nclusterName=elsewhere\nadvertisedAddress=localhost",
    )?;
    let mut command = unpacked.pulsar(&["standalone"]);
    command.env_clear().env("PULSAR_STANDALONE_CONF", &named);
    let broker = unpacked.start(command)?;
    ensure!(value(&broker, "clusterName")? == "elsewhere");
    let stranger = variables(&broker)?.into_iter().find(|variable| variable.starts_with("SHLVL="));
    ensure!(stranger.is_none(), "no shell was needed");
    broker.stop()
}

#[test]
fn what_is_not_here_is_said() -> Result<()> {
    let unpacked = Unpacked::new()?;
    let say = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = unpacked.pulsar(arguments).output()?;
        Ok((output.status.code(), text(&output)))
    };
    let (code, said) = say(&["version"])?;
    ensure!(code == Some(0) && said.starts_with("Current version of pulsar is: 4.0.6\n"), "{said}");
    for (arguments, want) in [
        (&["broker"][..], "run `pulsar standalone`"),
        (&["bookie"][..], "files of the broker's own"),
        (&["nonsense"][..], "-- Invalid command 'nonsense' --"),
        (&[][..], "Usage: pulsar <command>"),
    ] {
        let (code, said) = say(arguments)?;
        ensure!(code == Some(1) && said.contains(want), "{arguments:?}: {code:?} {said}");
    }
    let (code, said) = say(&["standalone", "--no-such-flag"])?;
    ensure!(code == Some(2) && said.contains("--no-such-flag"), "{said}");
    for flag in ["--no-broker", "--only-bookkeeper"] {
        let (code, said) = say(&["standalone", flag])?;
        ensure!(code == Some(2) && said.contains("nothing to start"), "{flag}: {said}");
    }
    unpacked.write("conf/pulsar_env.sh", "echo no >&2\nexit 7\n")?;
    ensure!(say(&["standalone"])? == (Some(7), "no\n".to_owned()), "a file that ends the shell ends the launch");
    Ok(())
}

/// Its path is the program's own, wherever the link to it lies.
#[test]
fn a_link_from_elsewhere_leads_to_the_unpacked_folder() -> Result<()> {
    let (unpacked, elsewhere) = (Unpacked::new()?, tempfile::tempdir()?);
    unpacked.write("conf/pulsar_env.sh", "pwd; echo \"$PULSAR_HOME\"; exit 0")?;
    let link: &Path = &elsewhere.path().join("pulsar");
    std::os::unix::fs::symlink(unpacked.path("bin/pulsar"), link)?;
    let output = Command::new(link).arg("standalone").output()?;
    let home = unpacked.0.path().canonicalize()?.display().to_string();
    ensure!(text(&output) == format!("{home}\n{home}\n"), "{}", text(&output));
    Ok(())
}

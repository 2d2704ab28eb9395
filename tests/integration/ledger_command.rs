//! `longshore ledger` over copies that Apache Pulsar 4.0.6 wrote: what it prints is kept in `fixtures/ledger`, and every line of
//! it is held against the entries as BookKeeper had them. The same copies through a driver give the same lines.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use longshore_tests::rig::{Rig, flip, run};

struct Vector {
    folder: &'static str,
    ledger_id: u64,
    uid: &'static str,
    /// Data and index, or the folder of the MapFile.
    copy: &'static [&'static str],
}

const I_TINY: Vector = Vector {
    folder: "i-tiny",
    ledger_id: 5,
    uid: "3f64c2e6-4cb5-479d-b3b2-a54adca70391",
    copy: &["3f64c2e6-4cb5-479d-b3b2-a54adca70391-ledger-5", "3f64c2e6-4cb5-479d-b3b2-a54adca70391-ledger-5-index"],
};
const BATCHED: Vector = Vector {
    folder: "iii-batched",
    ledger_id: 9,
    uid: "737e8061-706e-4296-aaa9-5e74f836eaf0",
    copy: &["737e8061-706e-4296-aaa9-5e74f836eaf0-ledger-9", "737e8061-706e-4296-aaa9-5e74f836eaf0-ledger-9-index"],
};
const V_TINY: Vector = Vector {
    folder: "v-tiny",
    ledger_id: 17,
    uid: "a272f775-0ffb-4312-aa1e-b6f8acb2c94f",
    copy: &["mapfile/public/fsvec/persistent/vec-v-tiny/17-a272f775-0ffb-4312-aa1e-b6f8acb2c94f"],
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

impl Vector {
    fn files(&self) -> Vec<String> {
        let folder = fixtures().join("pulsar-4.0.6").join(self.folder);
        self.copy.iter().map(|name| folder.join(name).display().to_string()).collect()
    }

    fn run(&self, verb: &str, more: &[&str]) -> Result<Output> {
        let files = self.files();
        let files = files.iter().map(String::as_str);
        run(&["ledger", verb].into_iter().chain(more.iter().copied()).chain(files).collect::<Vec<_>>())
    }

    /// The entries as BookKeeper had them: `length i32 | entry id i64 | payload`, again and again.
    fn entries(&self) -> Result<Vec<Vec<u8>>> {
        let name = format!("pulsar-4.0.6/{}/ledger-{}.entries", self.folder, self.ledger_id);
        let (mut rest, mut entries) = (&std::fs::read(fixtures().join(name))?[..], Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (id, behind) = behind.split_first_chunk::<8>().context("an id")?;
            ensure!(i64::from_be_bytes(*id) == entries.len() as i64);
            let (payload, behind) = behind.split_at(i32::from_be_bytes(*length) as usize);
            entries.push(payload.to_vec());
            rest = behind;
        }
        Ok(entries)
    }

    fn entry_lines(&self) -> Result<Vec<String>> {
        let lines = self.entries()?.into_iter().enumerate();
        Ok(lines.map(|(id, payload)| format!("{id}\t{}\t{:08x}", payload.len(), crc32c::crc32c(&payload))).collect())
    }
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn entry_lines(output: &Output) -> Vec<String> {
    lines(output).into_iter().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn dumps_are_as_they_were_and_tell_what_bookkeeper_had() -> Result<()> {
    for vector in [I_TINY, BATCHED, V_TINY] {
        let output = vector.run("dump", &[])?;
        ensure!(output.status.code() == Some(0) && output.stderr.is_empty(), "{output:?}");
        let golden = std::fs::read_to_string(fixtures().join(format!("ledger/{}.txt", vector.folder)))?;
        ensure!(String::from_utf8(output.stdout.clone())? == golden, "{} changed: {:?}", vector.folder, lines(&output));
        ensure!(entry_lines(&output) == vector.entry_lines()?, "{}", vector.folder);
        let verified = vector.run("verify", &[])?;
        ensure!(verified.status.code() == Some(0), "{verified:?}");
        let last = lines(&verified).pop().context("a summary")?;
        ensure!(last.ends_with("are sound; 0 errors, 0 notes"), "{last}");
    }
    let json = V_TINY.run("dump", &["--json"])?;
    let golden = std::fs::read_to_string(fixtures().join("ledger/v-tiny.jsonl"))?;
    ensure!(String::from_utf8(json.stdout)? == golden);
    Ok(())
}

#[test]
fn payloads_become_files_and_a_used_folder_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("raw");
    let arguments = ["--raw", raw.to_str().context("UTF-8")?];
    for vector in [I_TINY, V_TINY] {
        let output = vector.run("dump", &[&arguments[..], &["--force"]].concat())?;
        ensure!(output.status.code() == Some(0), "{output:?}");
        for (id, payload) in vector.entries()?.into_iter().enumerate() {
            ensure!(std::fs::read(raw.join(id.to_string()))? == payload, "entry {id} of {}", vector.folder);
        }
    }
    let refused = BATCHED.run("dump", &arguments)?;
    ensure!(refused.status.code() == Some(2) && refused.stdout.is_empty(), "{refused:?}");
    Ok(())
}

#[test]
fn damage_is_told_with_file_and_offset_and_wrong_arguments_are_not_damage() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [data, index] = [0, 1].map(|at| folder.path().join(I_TINY.copy[at]));
    for (path, from) in [&data, &index].into_iter().zip(I_TINY.files()) {
        std::fs::write(path, std::fs::read(from)?)?;
    }
    // The id of entry 1, behind header, head and 24 bytes of entry 0.
    flip(&data, |_| 128 + 12 + 24 + 4 + 7)?;
    let arguments = [data.to_str().context("UTF-8")?, index.to_str().context("UTF-8")?];
    let verified = run(&["ledger", "verify", arguments[0], arguments[1]])?;
    ensure!(verified.status.code() == Some(1), "{verified:?}");
    let finding = lines(&verified).into_iter().next().context("a finding")?;
    let fields: Vec<&str> = finding.split('\t').collect();
    ensure!(fields[..4] == ["error", "entry", arguments[0], "164"], "{finding}");
    let dumped = run(&["ledger", "dump", arguments[0], arguments[1]])?;
    ensure!(dumped.status.code() == Some(1));
    ensure!(entry_lines(&dumped) == I_TINY.entry_lines()?[..1], "what is sound is told");
    let error = String::from_utf8_lossy(&dumped.stderr).into_owned();
    ensure!(error.contains(arguments[0]) && error.contains("offset 164"), "{error}");

    for wrong in [
        &["ledger", "dump"][..],
        &["ledger", "dump", arguments[0]],
        &["ledger", "verify", arguments[0], "/nowhere"],
        &["ledger", "dump", "--uid", I_TINY.uid, "--ledger", "5", "--config", "/nowhere"],
        &["ledger", "dump", "--uid", I_TINY.uid],
    ] {
        let output = run(wrong)?;
        ensure!(output.status.code() == Some(2) && output.stdout.is_empty(), "{wrong:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn through_its_driver_a_copy_gives_the_same_lines() -> Result<()> {
    let mut rig = Rig::new()?;
    let base = fixtures().join("pulsar-4.0.6/v-tiny/mapfile").canonicalize()?;
    rig.set("fileSystemURI", &format!("file://{}", base.display()));
    let config = rig.configuration("")?;
    let config = config.to_str().context("UTF-8")?;
    let named = ["--config", config, "--ledger", "17", "--uid", V_TINY.uid];
    let topic = ["--topic", "persistent://public/fsvec/vec-v-tiny"];
    let output = run(&[&["ledger", "dump"][..], &named, &topic].concat())?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(entry_lines(&output) == V_TINY.entry_lines()?);
    ensure!(lines(&output).contains(&"# managedLedger\tpublic/fsvec/persistent/vec-v-tiny".to_owned()));
    let verified = run(&[&["ledger", "verify"][..], &named, &topic].concat())?;
    ensure!(verified.status.code() == Some(0), "{verified:?}");
    let absent = run(&[&["ledger", "dump"][..], &named, &["--topic", "elsewhere"]].concat())?;
    ensure!(absent.status.code() == Some(2) && absent.stdout.is_empty(), "{absent:?}");
    Ok(())
}

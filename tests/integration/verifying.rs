//! Proves that `offloaders verify` has a finding for each thing that is wrong with a file, that nothing a file does while it is
//! loaded reaches further than its child process, and that verdicts and signatures decide what a broker loads.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use longshore::plugin::verification::KINDS;
use longshore_tests::broker::binary;
use longshore_tests::c_library::{compile, good_note};
use longshore_tests::c_plugins::{compile as compile_c, have, misbehaving_source};
use longshore_tests::plugins::{put, stage};
use longshore_tests::rig::{Rig, run};
use serde_json::{Value, json};

use crate::loading::refusals::{everywhere, with_note};

/// A root symbol, so that its absence is no finding; what it holds is no header.
const ROOT: &str =
    "__attribute__((visibility(\"default\"))) const char _1as_0lib_1header_0root_bmodule_bloader[4096] = {1};";

/// Runs `offloaders <command> --json <arguments>`; exit code, the array, the standard error.
fn ask(command: &str, arguments: &[&str]) -> Result<(Option<i32>, Vec<Value>, String)> {
    let output = run(&[&["offloaders", command, "--json"], arguments].concat())?;
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    let rows: Value = serde_json::from_slice(&output.stdout).with_context(|| problem.clone())?;
    Ok((output.status.code(), rows.as_array().context("an array")?.clone(), problem))
}

/// Ids of the findings of one file.
fn verify(path: &Path, more: &[&str]) -> Result<(Option<i32>, Vec<String>, Value)> {
    let shown = path.display().to_string();
    let (code, rows, _) = ask("verify", &[&[shown.as_str()], more].concat())?;
    let ids = rows[0]["findings"].as_array().context("findings")?;
    let ids = ids.iter().filter_map(|finding| finding["id"].as_str()).map(str::to_owned).collect();
    Ok((code, ids, rows[0].clone()))
}

/// The text of the finding `id`.
fn text<'a>(row: &'a Value, id: &str) -> &'a str {
    let findings = row["findings"].as_array().into_iter().flatten();
    findings
        .into_iter()
        .find(|finding| finding["id"] == id)
        .and_then(|found| found["text"].as_str())
        .unwrap_or_default()
}

/// A library with a good note and root, and these lines.
fn tiny(folder: &Path, source: &str, arguments: &[&str]) -> PathBuf {
    compile(folder, "tiny.so", &good_note(), &format!("{ROOT}\n{source}"), arguments)
}

#[test]
fn every_kind_of_finding_is_documented_with_its_level() -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate/plugins.md");
    let page = std::fs::read_to_string(page)?;
    for kind in KINDS {
        let row = format!("| `{}` | {} | ", kind.id, kind.level);
        ensure!(page.contains(&row), "`{row}` is missing");
    }
    ensure!(
        page.matches(" | error | ").count()
            + page.matches(" | warning | ").count()
            + page.matches(" | note | ").count()
            == KINDS.len()
    );
    Ok(())
}

#[test]
fn plugins_that_work_pass() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for package in ["misbehaving-plugin", "example-folder", "tiered-storage-file-system"] {
        stage(package, folder.path(), &format!("{package}.so"));
    }
    let (code, rows, problem) = ask("verify", &["--directory", &folder.path().display().to_string()])?;
    ensure!(code == Some(0) && rows.len() == 3, "{problem}");
    for row in &rows {
        ensure!(row["passed"] == true && row["name"].is_string() && row["version"].is_string(), "{row}");
        ensure!(row["sha256"].as_str().is_some_and(|sum| sum.len() == 64), "{row}");
        let levels = row["findings"].as_array().context("findings")?.iter().map(|finding| finding["level"].clone());
        ensure!(levels.into_iter().all(|level| level == "warning" || level == "note"), "{row}");
    }
    Ok(())
}

#[test]
fn each_fault_of_a_note_is_a_finding() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secret = json!({"properties": {"pin": {"type": "string", "writeOnly": true, "default": "1234"}}, "oneOf": []});
    for (id, key, value) in [
        ("api-version", "api", json!("2.0.0")),
        ("target", "target", json!("s390x-unknown-linux-gnu")),
        ("panic-strategy", "panic", json!("abort")),
        ("schema-invalid", "config_schema", json!({"properties": {"a": {"type": "list"}}})),
        ("schema-keyword", "config_schema", secret.clone()),
        ("schema-secret", "config_schema", secret),
        ("no-schema", "config_schema", Value::Null),
        ("license", "license", json!("")),
        ("debug-build", "profile", json!("debug")),
        ("not-a-plugin", "drivers", json!([])),
    ] {
        let mut note = good_note();
        note[key] = value;
        let path = compile(folder.path(), "tiny.so", &note, ROOT, &[]);
        let (code, ids, row) = verify(&path, &[])?;
        ensure!(code == Some(1) && ids.iter().any(|found| found == id), "{id}: {row:#}");
        ensure!(!row.to_string().contains("1234"), "{row}");
    }
    Ok(())
}

#[test]
fn each_fault_of_a_library_is_a_finding() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("libnope.so");
    compile(folder.path(), "libnope.so", &Value::Null, "__attribute__((visibility(\"default\"))) int nope;", &[]);
    let missing = missing.display().to_string();
    let offered = "__attribute__((visibility(\"default\"))) int open(void) { return 0; }";
    let tls = "static __thread int seat __attribute__((tls_model(\"initial-exec\"))); int sit(void) { return ++seat; }";
    let spot = "int here; __asm__(\".text\\nspot: .quad here\\n\");";
    let absent = "int absent(void); __attribute__((constructor)) static void begin(void) { absent(); }";
    let big = "static char big[33 << 20] = {1}; char *biggest(void) { return big; }";
    for (id, source, arguments, word) in [
        ("exported-symbols", offered, &[][..], "1 symbols beside its root: open"),
        ("executable-stack", "", &["-Wl,-z,execstack"], "stack"),
        ("run-path", "", &["-Wl,-rpath,/opt/a"], "/opt/a"),
        ("text-relocations", spot, &["-Wl,-z,notext", "-fvisibility=default", "-Wl,-Bsymbolic"], "code"),
        ("static-tls", tls, &["-O0"], "thread-local"),
        ("size", big, &[], "33 MiB"),
        ("debug-info", "", &["-g"], "bytes"),
        ("stripped", "", &["-s"], "symbol table"),
        ("missing-library", "", &["-Wl,--no-as-needed", &missing], "libnope.so"),
        ("cannot-load", absent, &[], "absent"),
        ("entry", "", &[], "another kind"),
    ] {
        let path = tiny(folder.path(), source, arguments);
        if id == "missing-library" {
            std::fs::remove_file(&missing)?;
        }
        let (_, ids, row) = verify(&path, &[])?;
        ensure!(ids.iter().any(|found| found == id) && text(&row, id).contains(word), "{id}: {row:#}");
    }
    let rootless = compile(folder.path(), "tiny.so", &good_note(), "", &[]);
    ensure!(verify(&rootless, &[])?.1 == ["no-root"]);
    // The dynamic table leads out of the file.
    let mut damaged = std::fs::read(tiny(folder.path(), "", &[]))?;
    let (start, end) = segment(&damaged, 2)?;
    for entry in damaged[start..end].chunks_exact_mut(16).filter(|entry| entry[0] == 5) {
        entry[8..].fill(0x7f);
    }
    let (_, ids, row) = verify(&put(folder.path(), "tiny.so", &damaged), &[])?;
    ensure!(ids.iter().any(|id| id == "damaged"), "{row:#}");
    Ok(())
}

/// Where the segment of this type lies in a little-endian 64-bit file.
fn segment(file: &[u8], wanted: u32) -> Result<(usize, usize)> {
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(file[56..58].try_into()?) as usize;
    let headers = (0..count).map(|index| number(32) + index * 56);
    let found = headers.into_iter().find(|at| file[*at..at + 4] == wanted.to_le_bytes()).context("the segment")?;
    Ok((number(found + 8), number(found + 8) + number(found + 32)))
}

#[test]
fn a_library_that_is_not_what_its_note_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (id, bytes) in [
        ("note-lies", with_note("\"version\":\"1.2.3\"", "\"version\":\"9.2.3\"")),
        ("note-version", with_note("\"api\":\"1.0.0\"", "\"api\":\"1.0.1\"")),
        ("schema-invalid", everywhere("\"maximum\":99", "\"maximum\":-9")),
    ] {
        let (code, ids, row) = verify(&put(folder.path(), "bad.so", &bytes), &[])?;
        ensure!(code == Some(1) && ids.iter().any(|found| found == id), "{id}: {row:#}");
    }
    Ok(())
}

/// Tables that cannot be used, a library that does not start, and a machine on which nothing can be tried.
#[test]
fn a_library_that_loads_and_does_not_work_is_a_finding() -> Result<()> {
    if !have("cc") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("built");
    for (id, flag, words) in [
        ("layout", "-DCREATE=NULL", "its offloader_plugin_t has no function `create`"),
        ("layout", "-DDRIVER_SIZE=64", "says that it has 64 bytes, at least 72 are needed"),
        ("start", "-DSTART_FAILS", "it could not be started: the tape robot is asleep"),
    ] {
        compile_c("cc", &misbehaving_source(), &["-std=c99", "-Wno-unused-function", flag], &library);
        let (code, ids, row) = verify(&put(folder.path(), "bad.so", &std::fs::read(&library)?), &[])?;
        ensure!(code == Some(1) && ids.iter().any(|found| found == id), "{flag}: {row:#}");
        ensure!(text(&row, id).contains(words), "{flag}: {row:#}");
    }
    // A trial has a folder of its own among the temporary ones.
    let path = put(folder.path(), "tiny.so", &std::fs::read(tiny(folder.path(), "", &[]))?);
    let output = Command::new(binary())
        .args(["offloaders", "verify", "--json"])
        .arg(path)
        .env("TMPDIR", folder.path().join("none"))
        .env_remove("RUST_LOG")
        .output()?;
    let rows: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(text(&rows[0], "trial").contains("making a private folder failed"), "{rows:#}");
    Ok(())
}

#[test]
fn what_is_no_file_or_no_plugin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    put(folder.path(), "text.so", b"hello");
    put(folder.path(), "empty.so", b"");
    std::os::unix::fs::symlink("text.so", at("link.so"))?;
    set_permissions(put(folder.path(), "open.so", b"hello"), Permissions::from_mode(0o666))?;
    for (name, code, expected) in [
        ("text.so", 1, &["not-a-plugin"][..]),
        ("empty.so", 1, &["incomplete"]),
        ("open.so", 1, &["owner", "not-a-plugin"]),
        ("link.so", 2, &["unreadable"]),
        ("none.so", 2, &["unreadable"]),
    ] {
        let (found, ids, row) = verify(&at(name), &[])?;
        ensure!(found == Some(code) && ids == expected, "{name}: {found:?} {row:#}");
    }
    let missing = at("nowhere").display().to_string();
    let output = run(&["offloaders", "verify", "--directory", &missing])?;
    ensure!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains(&missing));
    Ok(())
}

const BEGIN: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) static void begin(void)";

#[test]
fn a_crash_an_exit_and_a_hang_are_verdicts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (id, source, word) in [
        ("crash", format!("{BEGIN} {{ fprintf(stderr, \"no cable\\n\"); abort(); }}"), "signal 6 (SIGABRT"),
        (
            "crash",
            format!("{BEGIN} {{ fprintf(stderr, \"no cable\\n\"); *(volatile int *) 8 = 1; }}"),
            "signal 11 (SIGSEGV",
        ),
        ("exit", format!("{BEGIN} {{ fprintf(stderr, \"no cable\\n\"); _exit(3); }}"), "exit code 3"),
    ] {
        let (code, ids, row) = verify(&tiny(folder.path(), &source, &[]), &[])?;
        ensure!(code == Some(1) && ids == [id] && row["passed"] == false, "{row:#}");
        ensure!(text(&row, id).contains(word) && text(&row, id).contains("no cable"), "{row:#}");
    }
    let at_exit = "#include <stdlib.h>\n__attribute__((destructor)) static void end(void) { abort(); }";
    let (_, ids, row) = verify(&tiny(folder.path(), at_exit, &[]), &[])?;
    ensure!(ids == ["entry", "crash-at-exit"], "{row:#}");
    Ok(())
}

#[test]
fn a_hang_ends_at_the_deadline_with_everything_that_was_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pids = folder.path().join("pids");
    let source = format!(
        "{BEGIN} {{ FILE *f = fopen(\"{}\", \"w\"); int child = fork(); if (child) {{ fprintf(f, \"%d %d\", getpid(), child); \
         fclose(f); }} for (;;) pause(); }}",
        pids.display()
    );
    let (code, ids, row) = verify(&tiny(folder.path(), &source, &[]), &["--timeout", "2"])?;
    ensure!(code == Some(1) && ids == ["hang"] && text(&row, "hang").contains("2000 ms"), "{row:#}");
    let started: Vec<i32> = std::fs::read_to_string(pids)?.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    ensure!(started.len() == 2);
    for pid in started {
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let end = std::time::Instant::now() + longshore_tests::rig::PATIENCE;
        // An orphan may stay as a zombie until somebody collects it.
        while !state().is_empty() && !state().contains(") Z ") {
            ensure!(std::time::Instant::now() < end, "process {pid} runs: {}", state());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    Ok(())
}

#[test]
fn a_recorded_crash_refuses_the_file_until_its_content_changes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("plugins"))?;
    let configuration = at("broker.conf");
    let keys = format!("offloadersVerdictsDirectory={}\noffloadersRequireVerdict=true\n", at("verdicts"));
    std::fs::write(&configuration, keys)?;
    let plugins = folder.path().join("plugins");
    let inspect = |name: &str| -> Result<(Option<i32>, String)> {
        let path = plugins.join(name).display().to_string();
        let (code, rows, _) = ask("inspect", &["--config", &configuration, &path])?;
        Ok((code, rows[0]["reason"].as_str().unwrap_or_default().to_owned()))
    };
    tiny(&plugins, &format!("{BEGIN} {{ abort(); }}"), &[]);
    stage("example-folder", &plugins, "good.so");
    ensure!(inspect("good.so")?.1.contains("nobody has verified it"));
    let output = run(&["offloaders", "verify", "--record", &at("verdicts"), "--directory", &at("plugins")])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(inspect("good.so")? == (Some(0), String::new()), "{:?}", inspect("good.so"));
    let (code, reason) = inspect("tiny.so")?;
    ensure!(
        code == Some(1) && reason.contains("it failed when it was verified") && reason.contains("SIGABRT"),
        "{reason}"
    );
    // Repaired, it is a file of which nothing is known.
    tiny(&plugins, "", &[]);
    ensure!(inspect("tiny.so")?.1.contains("nobody has verified it"));
    Ok(())
}

#[test]
fn inspect_tells_everything_and_runs_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let crash = tiny(folder.path(), &format!("{BEGIN} {{ abort(); }}"), &[]);
    stage("misbehaving-plugin", folder.path(), "misbehaving.so");
    put(folder.path(), "text.so", b"hello");
    let (code, rows, problem) = ask("inspect", &["--directory", &folder.path().display().to_string()])?;
    ensure!(code == Some(1) && rows.len() == 3, "{problem}");
    let (misbehaving, text, tiny) = (&rows[0], &rows[1], &rows[2]);
    for row in &rows {
        let fields: Vec<&str> = row.as_object().context("an object")?.keys().map(String::as_str).collect();
        let expected =
            ["config", "file", "library", "note", "path", "policy", "reason", "sha256", "signed_by", "size", "state"];
        ensure!(fields == expected, "{fields:?}");
    }
    ensure!(misbehaving["state"] == "admitted" && misbehaving["note"]["name"] == "misbehaving", "{misbehaving}");
    let needed = misbehaving["library"]["needed"].as_array().context("needed")?;
    ensure!(needed.contains(&json!("libc.so.6")), "{needed:?}");
    let keys = misbehaving["config"].as_array().context("config")?;
    let pin =
        keys.iter().find(|key| key["key"] == "managedLedgerOffloadExtraConfigMisbehavingPin").context("the pin")?;
    ensure!(pin["secret"] == true && pin["type"] == "string" && pin["required"] == false, "{pin}");
    ensure!(text["state"] == "refused" && text["note"].is_null() && text["library"].is_null(), "{text}");
    ensure!(text["reason"].as_str().is_some_and(|reason| reason.contains("not a shared library")), "{text}");
    ensure!(tiny["state"] == "admitted", "{tiny}");
    let table = run(&["offloaders", "inspect", &crash.display().to_string()])?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(table.contains("tiny 1.0.0") && table.contains("owner"), "{table}");
    Ok(())
}

/// With the very commands of docs/operate/plugins.md.
#[test]
fn a_file_signed_with_openssl_is_admitted_and_its_signer_named() -> Result<()> {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: openssl is not installed");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("keys"))?;
    stage("example-folder", folder.path(), "example.so");
    let sh = |command: &str| -> Result<()> {
        let output = Command::new("sh").args(["-ec", command]).current_dir(folder.path()).output()?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let configuration = folder.path().join("broker.conf").display().to_string();
    let keys = folder.path().join("keys").display().to_string();
    std::fs::write(
        &configuration,
        format!("offloadersSignatureKeysDirectory={keys}\noffloadersRequireSignature=true\n"),
    )?;
    let inspect = || -> Result<Value> {
        let path = folder.path().join("example.so").display().to_string();
        Ok(ask("inspect", &["--config", &configuration, &path])?.1[0].clone())
    };
    sh(
        "openssl genpkey -algorithm ed25519 -out release.key; openssl pkey -in release.key -pubout -out keys/release.pem",
    )?;
    ensure!(
        inspect()?["reason"].as_str().is_some_and(|reason| reason.contains("it has no signature")),
        "{}",
        inspect()?
    );
    sh("openssl pkeyutl -sign -inkey release.key -rawin -in example.so -out example.so.sig")?;
    ensure!(inspect()?["signed_by"] == "release" && inspect()?["state"] == "admitted", "{}", inspect()?);
    sh("openssl base64 -in example.so.sig -out text; mv text example.so.sig")?;
    ensure!(inspect()?["signed_by"] == "release", "{}", inspect()?);
    sh("openssl genpkey -algorithm ed25519 -out other.key
        openssl pkeyutl -sign -inkey other.key -rawin -in example.so -out example.so.sig")?;
    let reason = inspect()?["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(reason.contains("is confirmed by no key (tried: release)"), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_shows_no_secret_of_a_schema() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.stage("misbehaving-plugin", "misbehaving.so");
    rig.set("managedLedgerOffloadDriver", "misbehaving");
    rig.set("managedLedgerOffloadExtraConfigMode", "ok");
    rig.set("managedLedgerOffloadExtraConfigMisbehavingPin", "hunter2-conf=x");
    rig.set("managedLedgerOffloadExtraConfigMisbehavingShelf", "7");
    let broker = rig.start()?;
    let shown = broker.get("/brokers/configuration/runtime")?;
    ensure!(shown["managedLedgerOffloadExtraConfigMisbehavingPin"] == "***", "{shown}");
    ensure!(shown["managedLedgerOffloadExtraConfigMode"] == "ok", "{shown}");
    let policies = json!({"managedLedgerOffloadDriver": "filesystem", "managedLedgerExtraConfigurations":
        {"MisbehavingPin": "hunter2-policy", "Mode": "ok"}});
    let posted = ureq::post(format!("{}/admin/v2/namespaces/public/default/offloadPolicies", broker.web_url))
        .header("content-type", "application/json")
        .send(policies.to_string())?;
    ensure!(posted.status() == 204, "{posted:?}");
    for path in ["/namespaces/public/default/offloadPolicies", "/namespaces/public/default"] {
        let shown = broker.get(path)?.to_string();
        ensure!(!shown.contains("hunter2") && shown.contains("\"Mode\":\"ok\""), "{path}: {shown}");
    }
    let log = rig.log();
    ensure!(!log.contains("hunter2"), "{log}");
    ensure!(log.contains("did you mean `managedLedgerOffloadExtraConfigMisbehavingShelves`?"), "{log}");
    broker.stop()
}

//! Reading `conf/pulsar_env.sh`, which is shell: a shell reads it, and then becomes the broker.
//!
//! So the file means here what it means to the original's launcher, whatever is in it; nothing of shell is imitated. A file of
//! comments alone, as the shipped one is, needs no shell, so that the broker starts where there is none.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Shells that can read the file, the original's own first.
const SHELLS: [&str; 2] = ["bash", "sh"];
/// Where programs are looked for if nothing says where.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The largest file that is looked through for lines that do something; a larger one has some.
const LOOKED_THROUGH_MAX_BYTES: u64 = 1 << 20;

/// Reads the file that is the first argument, hands on what the original's launcher looks at although it may not be exported,
/// and becomes the program that the other arguments are. A file that ends the shell ends the launch.
const SCRIPT: &str = r#". "$1"
shift
export PULSAR_EXTRA_OPTS PULSAR_STANDALONE_CONF PULSAR_LOG_LEVEL PULSAR_LOG_ROOT_LEVEL
exec "$@"
"#;

/// Who reads the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Reader {
    /// Nobody needs to: there is no file, or it does nothing.
    Nobody,
    /// A shell.
    Shell(PathBuf),
}

impl Reader {
    /// Who needs to read `file`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        let size = match std::fs::metadata(file) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nobody),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        if size > LOOKED_THROUGH_MAX_BYTES {
            return Ok(Self::Shell(file.to_owned()));
        }
        let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        Ok(if does_something(&text) { Self::Shell(file.to_owned()) } else { Self::Nobody })
    }

    /// A command that becomes `program`, once the file is read; arguments of the program may follow.
    ///
    /// # Errors
    /// There is no shell.
    pub fn command(&self, program: &Path) -> anyhow::Result<Command> {
        let Self::Shell(file) = self else { return Ok(Command::new(program)) };
        let path = std::env::var("PATH").unwrap_or_default();
        let Some(shell) = find_shell(&path) else {
            bail!(
                "{} has lines for a shell, and there is neither {} in the folders of PATH nor in {USUAL_PATH}; set its \
                 variables in the environment of this program instead, and make its lines comments",
                file.display(),
                SHELLS.join(" nor ")
            );
        };
        let mut command = Command::new(shell);
        command.args(["-c", SCRIPT, "pulsar"]).arg(file).arg(program);
        Ok(command)
    }
}

/// Whether there is a line that is neither blank nor a comment.
fn does_something(text: &[u8]) -> bool {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.into_iter().any(|line| !line.is_empty() && !line.starts_with(b"#"))
}

fn find_shell(path: &str) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(path).chain(std::env::split_paths(USUAL_PATH)).collect();
    let found = |shell: &str| folders.iter().map(|folder| folder.join(shell)).find(|file| file.is_file());
    SHELLS.iter().find_map(|shell| found(shell))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program would see, of a file with this text.
    fn environment(text: &str, inherited: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pulsar_env.sh");
        std::fs::write(&file, text).unwrap();
        let env = ["/usr/bin/env", "/bin/env"].into_iter().find(|env| Path::new(env).exists()).unwrap();
        let mut command = Reader::of(&file).unwrap().command(Path::new(env)).unwrap();
        let output = command.env_clear().envs(inherited.iter().copied()).output().unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.retain(|line| !["_=", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|own| line.starts_with(own)));
        lines.sort();
        lines
    }

    #[test]
    fn a_file_without_lines_that_do_something_needs_no_shell() {
        let folder = tempfile::tempdir().unwrap();
        let reader = |text: &str| {
            let file = folder.path().join("env.sh");
            std::fs::write(&file, text).unwrap();
            Reader::of(&file).unwrap()
        };
        assert_eq!(Reader::of(&folder.path().join("missing")).unwrap(), Reader::Nobody);
        assert_eq!(reader("#!/bin/sh\n\n  # export A=1\n\t\r\n"), Reader::Nobody);
        assert!(matches!(reader("# a\nexport A=1"), Reader::Shell(_)));
        assert!(Reader::of(&folder.path().join("env.sh/below")).is_err(), "neither there nor absent");
    }

    #[test]
    fn exported_variables_and_the_options_reach_the_broker() {
        let text = "export AWS_ACCESS_KEY_ID=ABC # a comment\nexport AWS_SECRET_ACCESS_KEY=\"ded 7\"\n\
                    NOT_EXPORTED=1\nPULSAR_MEM=${PULSAR_MEM:-\"-Xmx2g\"}\nfalse\n\
                    PULSAR_EXTRA_OPTS=\"${PULSAR_EXTRA_OPTS} ${PULSAR_MEM} -Daws.accessKeyId=K\"";
        let seen = environment(text, &[("PULSAR_EXTRA_OPTS", "-ea"), ("KEPT", "x")]);
        let want = [
            "AWS_ACCESS_KEY_ID=ABC",
            "AWS_SECRET_ACCESS_KEY=ded 7",
            "KEPT=x",
            "PULSAR_EXTRA_OPTS=-ea -Xmx2g -Daws.accessKeyId=K",
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn a_file_that_ends_the_shell_ends_the_launch() {
        assert_eq!(environment("export A=1\nexit 3\n", &[]), Vec::<String>::new());
    }

    #[test]
    fn the_shell_of_the_path_goes_before_the_usual_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bash"), "").unwrap();
        assert_eq!(find_shell(&folder.path().display().to_string()), Some(folder.path().join("bash")));
    }
}

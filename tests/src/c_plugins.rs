//! Builds plugins written in C as their authors would: by the example's Makefile, or by one call of the compiler.
//!
//! Where there is no C compiler the answer is `None`, and the test that asked says loudly what it left out.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The flags under which a plugin in C is compiled: what a careful author asks of a header.
pub const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// The folder of `offloader.h`.
pub fn include() -> PathBuf {
    root().join("plugin-api/include")
}

/// The folder of the example in C.
pub fn example_folder() -> PathBuf {
    root().join("plugins/example-c")
}

/// A source file of a plugin that does wrong on demand.
pub fn misbehaving_source() -> PathBuf {
    root().join("tests/fixtures/plugins/misbehaving-c/misbehaving.c")
}

/// Whether `compiler` (`cc`, `c++`) can be run; says so on stderr where it cannot. With `CI=true` that is a failure.
///
/// # Panics
/// With `CI=true`, where there is no such compiler.
pub fn have(compiler: &str) -> bool {
    let there = Command::new(compiler).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        let text =
            format!("{compiler} cannot be run, so nothing in C was built or loaded; install a C compiler and make");
        assert!(env::var("CI").as_deref() != Ok("true"), "{text}");
        eprintln!("SKIPPED: {text}");
    }
    there
}

/// The example's library, built once for each run of a test binary.
///
/// # Panics
/// Where it does not build.
pub fn example() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if !have("cc") {
                return None;
            }
            let build = build_folder();
            succeed(&make(&build, None));
            Some(build.join("example-c.so"))
        })
        .clone()
}

/// Runs the example's Makefile, into `build`.
///
/// # Panics
/// Where there is no make.
pub fn make(build: &Path, goal: Option<&str>) -> Output {
    let mut make = Command::new("make");
    make.arg("-s").arg("-C").arg(example_folder()).arg(format!("BUILD={}", build.display()));
    make.args(goal).output().expect("run make")
}

/// Where the example is built: beside the test binary. The Makefile renames what is complete, so that test binaries may meet there.
fn build_folder() -> PathBuf {
    let binary = env::current_exe().expect("the test binary has a path");
    binary.parent().expect("the test binary is in a folder").join("example-c")
}

/// Compiles one source file to the shared library `library`.
///
/// # Panics
/// Where it does not compile.
pub fn compile(compiler: &str, source: &Path, flags: &[&str], library: &Path) {
    let mut command = Command::new(compiler);
    command.args(STRICT).args(["-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]).args(flags);
    command.arg("-I").arg(include()).arg("-o").arg(library).arg(source);
    succeed(&command.output().unwrap_or_else(|error| panic!("run {compiler}: {error}")));
}

/// Panics with what a command said, where it failed.
///
/// # Panics
/// Where it failed.
pub fn succeed(output: &Output) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

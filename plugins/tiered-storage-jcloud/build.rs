//! Hides every symbol of the dependencies, so that the library exports its root symbol alone.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs=ALL");
}

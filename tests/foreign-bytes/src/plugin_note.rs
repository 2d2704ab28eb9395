//! Any bytes as a plugin file: the ELF frame and the identity note.

use longshore::plugin::elf::read_note;

/// Panics where a promise is broken.
pub fn check(file: &[u8]) {
    let _ = read_note(file);
}

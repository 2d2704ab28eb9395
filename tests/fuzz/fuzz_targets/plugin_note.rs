//! Any bytes as a plugin file: the ELF frame and the identity note.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::plugin::elf::read_note;

fuzz_target!(|file: &[u8]| {
    let _ = read_note(file);
});

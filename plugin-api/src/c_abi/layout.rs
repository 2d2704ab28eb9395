//! Sizes and offsets of everything that crosses to C, pinned at compile time for 64-bit targets. A line that has to change here is
//! a change of the ABI. The test asks a C and a C++ compiler what they make of the header.

use std::mem::{offset_of, size_of};

use super::*;

/// What the header calls a structure, its size, its members and their offsets.
#[cfg(test)]
type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

macro_rules! layout {
    ($($type:ident = $c_name:literal: $size:literal { $($field:ident @ $offset:literal),* $(,)? })*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size, concat!("size of ", stringify!($type)));
            $(assert!(
                offset_of!($type, $field) == $offset,
                concat!("offset of ", stringify!($type), ".", stringify!($field))
            );)*
        };)*

        #[cfg(test)]
        const LAYOUTS: &[Layout] = &[$(($c_name, $size, &[$((stringify!($field), $offset)),*])),*];
    };
}

#[cfg(target_pointer_width = "64")]
layout! {
    Str = "offloader_str_t": 16 { ptr @ 0, len @ 8 }
    Bytes = "offloader_bytes_t": 16 { ptr @ 0, len @ 8 }
    Pair = "offloader_pair_t": 32 { name @ 0, value @ 16 }
    Entry = "offloader_entry_t": 24 { entry_id @ 0, payload @ 8 }
    Batch = "offloader_batch_t": 40 { struct_size @ 0, entries @ 8, count @ 16, owner @ 24, release @ 32 }
    ErrorBuffer = "offloader_error_t": 48 {
        struct_size @ 0, retry @ 8, reserved @ 12, message @ 16, message_capacity @ 24, message_len @ 32,
        retry_after_ms @ 40,
    }
    LedgerMetadata = "offloader_ledger_metadata_t": 64 {
        struct_size @ 0, ledger_id @ 8, entry_count @ 16, length_bytes @ 24, created_ms @ 32, closed @ 40,
        reserved @ 44, stored_form @ 48,
    }
    Config = "offloader_config_t": 56 {
        struct_size @ 0, driver @ 8, properties @ 24, property_count @ 32, search_folders @ 40,
        search_folder_count @ 48,
    }
    OffloadRequest = "offloader_offload_request_t": 64 {
        struct_size @ 0, ledger_id @ 8, uid @ 16, managed_ledger @ 32, extra @ 48, extra_count @ 56,
    }
    StoredLedger = "offloader_stored_ledger_t": 64 {
        struct_size @ 0, ledger_id @ 8, uid @ 16, managed_ledger @ 32, driver_metadata @ 48, driver_metadata_count @ 56,
    }
    ScannedLedger = "offloader_scanned_ledger_t": 56 {
        struct_size @ 0, ledger_id @ 8, uid @ 16, managed_ledger @ 32, size_bytes @ 48,
    }
    LogEvent = "offloader_log_event_t": 64 {
        struct_size @ 0, level @ 8, reserved @ 12, target @ 16, message @ 32, fields @ 48, field_count @ 56,
    }
    Metric = "offloader_metric_t": 80 {
        struct_size @ 0, kind @ 8, reserved @ 12, name @ 16, help @ 32, labels @ 48, label_count @ 56, buckets @ 64,
        bucket_count @ 72,
    }
    Host = "offloader_host_t": 72 {
        struct_size @ 0, api_major @ 8, api_minor @ 12, api_patch @ 16, reserved @ 20, this @ 24, log_enabled @ 32,
        log @ 40, metric @ 48, metric_record @ 56, get_extension @ 64,
    }
    Call = "offloader_call_t": 64 {
        struct_size @ 0, this @ 8, cancelled @ 16, timeout_ms @ 24, trace_id @ 32, span_id @ 48, trace_flags @ 56,
        reserved @ 60,
    }
    Ledger = "offloader_ledger_t": 40 { struct_size @ 0, this @ 8, metadata @ 16, read @ 24, progress @ 32 }
    Problems = "offloader_problems_t": 24 { struct_size @ 0, this @ 8, report @ 16 }
    Pairs = "offloader_pairs_t": 24 { struct_size @ 0, this @ 8, put @ 16 }
    Page = "offloader_page_t": 32 { struct_size @ 0, this @ 8, put @ 16, next @ 24 }
    Plugin = "offloader_plugin_t": 40 { struct_size @ 0, start @ 8, validate @ 16, create @ 24, get_extension @ 32 }
    Driver = "offloader_driver_t": 72 {
        struct_size @ 0, offload @ 8, open_read @ 16, delete_ledger @ 24, destroy @ 32, driver_metadata @ 40, scan @ 48,
        health @ 56, shutdown @ 64,
    }
    ReadHandle = "offloader_read_handle_t": 24 { struct_size @ 0, read @ 8, close @ 16 }
    Root = "offloader_root_t": 64 {
        struct_size @ 0, api_major @ 8, api_minor @ 12, api_patch @ 16, reserved @ 20, note @ 24, plugin @ 40,
        driver @ 48, read_handle @ 56,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::error::ErrorCode;
    use crate::version::{ABI_VERSION, ABI_VERSION_MIN};

    const HEADER: &str = include_str!("../../include/offloader.h");

    /// `expression` as the header has it, `expected` as we have it.
    fn checks() -> Vec<(String, String)> {
        let number =
            |expression: String, expected: usize| (format!("(unsigned long)({expression})"), expected.to_string());
        let mut checks = Vec::new();
        for (name, size, fields) in LAYOUTS {
            checks.push(number(format!("sizeof({name})"), *size));
            for (field, offset) in *fields {
                let field = if *field == "this" { "self" } else { field };
                checks.push(number(format!("offsetof({name}, {field})"), *offset));
            }
        }
        checks.push(number("OFFLOADER_OK".to_owned(), OK as usize));
        checks.push(number("OFFLOADER_RETRY_BY_CODE".to_owned(), RETRY_BY_CODE as usize));
        for code in (1..=16).filter(|code| ErrorCode(*code) != ErrorCode::Panicked) {
            let name = ErrorCode(code).name().expect("a code of ours");
            checks.push(number(format!("OFFLOADER_{}", screaming(name)), code as usize));
        }
        assert_eq!(ErrorCode(17).name(), None, "a new code belongs into the header");
        checks
    }

    /// `NotFound` as `NOT_FOUND`.
    fn screaming(name: &str) -> String {
        let mut text = String::new();
        for (place, letter) in name.char_indices() {
            if place > 0 && letter.is_ascii_uppercase() {
                text.push('_');
            }
            text.push(letter.to_ascii_uppercase());
        }
        text
    }

    /// Compiles and runs a program that prints every value; `None` where there is no such compiler.
    fn printed(folder: &Path, compiler: &str, file: &str, standard: &str) -> Option<String> {
        let prints = checks().iter().fold(String::new(), |mut prints, (expression, _)| {
            writeln!(prints, "  printf(\"%lu\\n\", {expression});").expect("a string takes everything");
            prints
        });
        let program = format!("#include \"offloader.h\"\nint main(void) {{\n{prints}  return 0;\n}}\n");
        let (source, binary) = (folder.join(file), folder.join(standard));
        std::fs::write(&source, program).unwrap();
        let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", &format!("-std={standard}"), include]);
        let output = match command.arg("-o").arg(&binary).arg(&source).output() {
            Ok(output) => output,
            Err(error) => {
                eprintln!("SKIPPED: {compiler} cannot be run ({error}), so offloader.h was not compiled as {standard}");
                return None;
            }
        };
        assert!(output.status.success(), "{standard}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(Command::new(&binary).output().unwrap().stdout).unwrap())
    }

    #[test]
    fn a_c_compiler_and_a_cpp_compiler_see_what_we_see() {
        let folder = tempfile::tempdir().unwrap();
        for (compiler, file, standard) in
            [("cc", "c.c", "c99"), ("cc", "c.c", "c11"), ("c++", "c.cpp", "c++14"), ("c++", "c.cpp", "c++17")]
        {
            let Some(printed) = printed(folder.path(), compiler, file, standard) else { continue };
            let (lines, checks): (Vec<&str>, _) = (printed.lines().collect(), checks());
            assert_eq!(lines.len(), checks.len());
            for (line, (expression, expected)) in lines.iter().zip(&checks) {
                assert_eq!(line, expected, "{expression} as {standard}");
            }
        }
    }

    #[test]
    fn every_member_of_the_header_is_in_the_table() {
        // A structure of the header is what stands between `{` and `}`; its members end in `;`.
        let members: usize = LAYOUTS.iter().map(|(_, _, fields)| fields.len()).sum();
        let mut found = 0;
        for (name, ..) in LAYOUTS {
            let tag = format!("struct {} {{", name.trim_end_matches("_t"));
            let body = HEADER.split(&tag).nth(1).unwrap_or_else(|| panic!("`{tag}` is not in the header"));
            let body = body.split("\n}").next().unwrap();
            let code: String = body.split("/*").map(|part| part.split("*/").last().unwrap_or_default()).collect();
            found += code.matches(';').count();
        }
        assert_eq!(found, members, "the header has members that the mirror does not know, or the reverse");
    }

    #[test]
    fn the_header_has_our_versions_and_codes() {
        let defines = |name: &str| {
            let line = HEADER.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
            line.unwrap_or_else(|| panic!("{name} is not defined")).trim_matches('"')
        };
        assert_eq!(defines("OFFLOADER_API_VERSION"), ABI_VERSION);
        assert_eq!(defines("OFFLOADER_API_VERSION_MIN"), ABI_VERSION_MIN);
        let numbers = ["MAJOR", "MINOR", "PATCH"].map(|part| defines(&format!("OFFLOADER_API_{part}")));
        assert_eq!(numbers.join("."), ABI_VERSION);
        assert!(HEADER.contains(crate::note::NOTE_SECTION) && HEADER.contains(ROOT_SYMBOL));
    }

    #[test]
    fn the_sizes_of_version_1_0_are_kept() {
        assert_eq!((Root::SIZE_MIN, Plugin::SIZE_MIN, Driver::SIZE_MIN, ReadHandle::SIZE_MIN), (64, 40, 72, 24));
    }
}

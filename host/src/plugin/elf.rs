//! Reads a shared library's frame and its identity note from bytes, running none of them.
//!
//! The bytes are untrusted. Every segment and section must lie inside the file, because the system's loader maps what the
//! headers say and the process dies on a page that is not there.

use longshore_plugin_api::note::{NOTE_OWNER, NOTE_TYPE, NoteError, PluginNote};
use object::elf::{
    ELFCLASS64, ELFMAG, EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_DYN, FileHeader64,
    SHT_NOBITS,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, elf};

/// The machine that this host is compiled for.
const OUR_MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    EM_AARCH64
} else if cfg!(target_arch = "riscv64") {
    EM_RISCV
} else {
    elf::EM_NONE
};

/// Our byte order, as ELF numbers it.
const OUR_DATA: u8 = if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB };

/// Why bytes are not a plugin of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// No byte at all.
    #[error("the file is empty; if it is being copied, wait, and install by renaming a complete file")]
    Empty,
    /// The headers name bytes beyond the end.
    #[error("the file is cut off: {what} needs {needed} bytes, there are {len}; install by renaming a complete file")]
    CutOff {
        /// What lies beyond the end.
        what: &'static str,
        /// Bytes the file would need.
        needed: u64,
        /// Bytes it has.
        len: u64,
    },
    /// Another kind of file.
    #[error("it is not a shared library: it does not begin with the ELF mark")]
    NotElf,
    /// A 32-bit file, or of the other byte order.
    #[error("it is an ELF file for {0}, this host needs 64 bits and its own byte order")]
    WrongClass(&'static str),
    /// For another processor.
    #[error("it is built for {found}, this host runs on {ours}", found = machine_name(*.0), ours = machine_name(OUR_MACHINE))]
    WrongMachine(u16),
    /// An executable, an object file or a core dump.
    #[error("it is an ELF file, but no shared library (type {0})")]
    NotShared(u16),
    /// Headers that contradict each other.
    #[error("its ELF headers are damaged: {0}")]
    Damaged(String),
    /// A library, but not a plugin.
    #[error("it is a shared library, but no offloader plugin: it has no identity note `.note.longshore`")]
    NoNote,
    /// Two identities in one file.
    #[error("it has more than one identity note; link one plugin into one library")]
    TwoNotes,
    /// The note does not read well.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl ElfError {
    /// Whether the file may simply not be complete yet.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Empty | Self::CutOff { .. })
    }
}

/// A note, and the very bytes that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNote {
    /// What it says.
    pub note: PluginNote,
    /// Its JSON, which the library must repeat.
    pub json: Vec<u8>,
}

/// Checks the frame of a library and reads its note.
///
/// # Errors
/// See [`ElfError`].
pub fn read_note(file: &[u8]) -> Result<FoundNote, ElfError> {
    check_start(file)?;
    let header = FileHeader64::<Endianness>::parse(file).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    check_tables(file, header, endian)?;
    if header.e_machine(endian) != OUR_MACHINE {
        return Err(ElfError::WrongMachine(header.e_machine(endian)));
    }
    if header.e_type(endian) != ET_DYN {
        return Err(ElfError::NotShared(header.e_type(endian)));
    }
    let segments = header.program_headers(endian, file).map_err(damaged)?;
    for segment in segments {
        within(file, "a segment", segment.p_offset(endian), segment.p_filesz(endian))?;
    }
    for section in header.section_headers(endian, file).map_err(damaged)? {
        if section.sh_type(endian) != SHT_NOBITS {
            within(file, "a section", section.sh_offset(endian), section.sh_size(endian))?;
        }
    }
    let mut found = None;
    for segment in segments {
        let Some(mut notes) = segment.notes(endian, file).map_err(damaged)? else { continue };
        while let Some(note) = notes.next().map_err(damaged)? {
            // `name()` leaves out the terminating zero.
            if note.name() != &NOTE_OWNER[..NOTE_OWNER.len() - 1] || note.n_type(endian) != NOTE_TYPE {
                continue;
            }
            if found.replace(note.desc()).is_some() {
                return Err(ElfError::TwoNotes);
            }
        }
    }
    let json = found.ok_or(ElfError::NoNote)?;
    Ok(FoundNote { note: PluginNote::parse(json)?, json: json.to_vec() })
}

/// The mark, the class and the byte order; a prefix of the mark counts as cut off.
fn check_start(file: &[u8]) -> Result<(), ElfError> {
    if file.is_empty() {
        return Err(ElfError::Empty);
    }
    let mark = &ELFMAG[..file.len().min(ELFMAG.len())];
    if !file.starts_with(mark) {
        return Err(ElfError::NotElf);
    }
    within(file, "the ELF header", 0, size_of::<FileHeader64<Endianness>>() as u64)?;
    match (file[4], file[5]) {
        (ELFCLASS64, OUR_DATA) => Ok(()),
        (ELFCLASS64, _) => Err(ElfError::WrongClass("the other byte order")),
        _ => Err(ElfError::WrongClass("32 bits")),
    }
}

/// Both header tables lie inside the file.
fn check_tables(file: &[u8], header: &FileHeader64<Endianness>, endian: Endianness) -> Result<(), ElfError> {
    let table = |entry_size: u16, count: u16| u64::from(entry_size) * u64::from(count);
    let segments = table(header.e_phentsize(endian), header.e_phnum(endian));
    within(file, "the segment table", header.e_phoff(endian), segments)?;
    let sections = table(header.e_shentsize(endian), header.e_shnum(endian));
    within(file, "the section table", header.e_shoff(endian), sections)
}

fn within(file: &[u8], what: &'static str, offset: u64, size: u64) -> Result<(), ElfError> {
    let len = file.len() as u64;
    let needed = offset.checked_add(size).ok_or_else(|| ElfError::Damaged(format!("{what} wraps around")))?;
    if needed > len { Err(ElfError::CutOff { what, needed, len }) } else { Ok(()) }
}

pub(super) fn damaged(error: object::Error) -> ElfError {
    ElfError::Damaged(error.to_string())
}

fn machine_name(machine: u16) -> String {
    match machine {
        EM_X86_64 => "x86-64".to_owned(),
        EM_AARCH64 => "AArch64".to_owned(),
        EM_RISCV => "RISC-V".to_owned(),
        EM_386 => "x86".to_owned(),
        EM_ARM => "ARM".to_owned(),
        EM_PPC64 => "PowerPC 64".to_owned(),
        EM_S390 => "S/390".to_owned(),
        other => format!("ELF machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_told_by_its_kind() {
        assert_eq!(read_note(b""), Err(ElfError::Empty));
        assert_eq!(read_note(b"hello, world"), Err(ElfError::NotElf));
        assert_eq!(read_note(b"\x7fE"), Err(ElfError::CutOff { what: "the ELF header", needed: 64, len: 2 }));
        let mut thirty_two = [0; 64];
        thirty_two[..6].copy_from_slice(b"\x7fELF\x01\x01");
        assert_eq!(read_note(&thirty_two), Err(ElfError::WrongClass("32 bits")));
    }

    #[test]
    fn random_headers_never_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut file: Vec<u8> = (0..256).map(|_| random.u8(..)).collect();
            file[..6].copy_from_slice(b"\x7fELF\x02\x01");
            // Small numbers in the table fields reach further than random ones do.
            for field in [32, 33, 40, 41, 54, 56, 58, 60] {
                file[field] = random.u8(..128);
            }
            for high in (34..40).chain(42..48).chain([55, 57, 59, 61]) {
                file[high] = 0;
            }
            assert!(read_note(&file).is_err());
        }
    }

    #[test]
    fn this_test_binary_is_no_plugin() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(read_note(&own).unwrap_err(), ElfError::NoNote);
    }
}

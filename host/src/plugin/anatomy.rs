//! What a shared library needs and offers, read from its dynamic segment as the system's loader reads it, running nothing.
//!
//! The bytes are untrusted, but their frame was checked by [`elf`](super::elf). Addresses are turned into places of the file by
//! its segments; section headers, which may be stripped or lie, serve for what the loader does not look at: symbols and debug
//! information.

use object::Endianness;
use object::elf::{
    DF_STATIC_TLS, DF_TEXTREL, DT_FLAGS, DT_GNU_HASH, DT_HASH, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB,
    DT_SYMTAB, DT_TEXTREL, Dyn64, FileHeader64, PF_X, PT_GNU_STACK, PT_LOAD, ProgramHeader64, SHN_UNDEF, SHT_SYMTAB,
    STB_GLOBAL, STB_GNU_UNIQUE, STB_WEAK, STV_DEFAULT, STV_PROTECTED, Sym64,
};
use object::read::elf::{Dyn, FileHeader, GnuHashTable, HashTable, ProgramHeader, SectionHeader, Sym};
use object::{ReadRef, StringTable};
use serde::Serialize;

use super::elf::{ElfError, damaged};

/// The most names of one kind that are kept.
const NAMES_MAX: usize = 10_000;
/// Names that linkers define at the ends of segments; nobody binds to them.
const LINKER_NAMES: [&str; 6] = ["_init", "_fini", "__bss_start", "_edata", "_end", "_etext"];
/// What sections with debug information are called.
const DEBUG_SECTIONS: [&[u8]; 2] = [b".debug_", b".zdebug_"];

type Endian = Endianness;

/// A library's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Anatomy {
    /// Libraries that it needs, by the names that the loader looks for.
    pub needed: Vec<String>,
    /// Symbols that it offers to others, sorted.
    pub exported: Vec<String>,
    /// Folders that it has the loader look through (`RUNPATH`, `RPATH`).
    pub run_paths: Vec<String>,
    /// Whether loading it writes into its code.
    pub text_relocations: bool,
    /// Whether it wants a stack that can be executed.
    pub executable_stack: bool,
    /// Whether it claims the space for thread-local data that is set aside for libraries of the start.
    pub static_tls: bool,
    /// Whether it has a table of all its symbols.
    pub has_symbols: bool,
    /// Bytes of debug information.
    pub debug_bytes: u64,
    /// Bytes of memory that its segments take.
    pub memory_bytes: u64,
}

/// Reads the parts of a library whose frame `elf::read_note` has accepted.
///
/// # Errors
/// `Damaged`, where a table points out of the file.
pub fn read(file: &[u8]) -> Result<Anatomy, ElfError> {
    let header = FileHeader64::<Endian>::parse(file).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let segments = header.program_headers(endian, file).map_err(damaged)?;
    let mut anatomy = Anatomy::default();
    anatomy.read_segments(endian, segments);
    let view = View { file, endian, segments };
    if let Some(dynamic) = view.dynamic()? {
        anatomy.read_dynamic(&view, dynamic)?;
    }
    anatomy.read_sections(header, endian, file)?;
    Ok(anatomy)
}

impl Anatomy {
    fn read_segments(&mut self, endian: Endian, segments: &[ProgramHeader64<Endian>]) {
        let stack = segments.iter().find(|segment| segment.p_type(endian) == PT_GNU_STACK);
        // The system's default is an executable one.
        self.executable_stack = stack.is_none_or(|stack| stack.p_flags(endian) & PF_X != 0);
        let loaded = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
        self.memory_bytes = loaded.fold(0, |sum, segment| sum.saturating_add(segment.p_memsz(endian)));
    }

    fn read_dynamic(&mut self, view: &View<'_>, dynamic: &[Dyn64<Endian>]) -> Result<(), ElfError> {
        let entries = || {
            let entries = dynamic.iter().map(|entry| (entry.d_tag(view.endian), entry.d_val(view.endian)));
            entries.take_while(|(tag, _)| *tag != 0)
        };
        let value = |wanted: i64| entries().find(|(tag, _)| *tag == wanted).map(|(_, value)| value);
        let strings = view.strings(value(DT_STRTAB), value(DT_STRSZ))?;
        for (tag, value) in entries() {
            match tag {
                DT_NEEDED => keep(&mut self.needed, text(&strings, value)?),
                DT_RPATH | DT_RUNPATH => keep(&mut self.run_paths, text(&strings, value)?),
                DT_TEXTREL => self.text_relocations = true,
                DT_FLAGS => {
                    self.text_relocations |= value & u64::from(DF_TEXTREL) != 0;
                    self.static_tls |= value & u64::from(DF_STATIC_TLS) != 0;
                }
                _ => {}
            }
        }
        let Some(symbols) = value(DT_SYMTAB) else { return Ok(()) };
        let count = match (value(DT_GNU_HASH), value(DT_HASH)) {
            (Some(hash), _) => {
                let table =
                    GnuHashTable::<FileHeader64<Endian>>::parse(view.endian, view.from(hash)?).map_err(damaged)?;
                table.symbol_table_length(view.endian).unwrap_or(0)
            }
            (None, Some(hash)) => {
                let table = HashTable::<FileHeader64<Endian>>::parse(view.endian, view.from(hash)?).map_err(damaged)?;
                table.symbol_table_length()
            }
            (None, None) => 0,
        };
        self.read_exported(view, symbols, count, &strings)
    }

    fn read_exported(
        &mut self,
        view: &View<'_>,
        address: u64,
        count: u32,
        strings: &StringTable<'_>,
    ) -> Result<(), ElfError> {
        let endian = view.endian;
        let symbols = view.from(address)?.read_slice_at::<Sym64<Endian>>(0, count as usize);
        let symbols = symbols.map_err(|()| ElfError::Damaged("its symbols lie outside the file".to_owned()))?;
        for symbol in symbols {
            let is_bound = matches!(symbol.st_bind(), STB_GLOBAL | STB_WEAK | STB_GNU_UNIQUE);
            let is_visible = matches!(symbol.st_visibility(), STV_DEFAULT | STV_PROTECTED);
            if symbol.st_shndx(endian) == SHN_UNDEF || !is_bound || !is_visible {
                continue;
            }
            let name = symbol.name(endian, *strings).map_err(damaged)?;
            let name = String::from_utf8_lossy(name).into_owned();
            if !name.is_empty() && !LINKER_NAMES.contains(&name.as_str()) {
                keep(&mut self.exported, name);
            }
        }
        self.exported.sort();
        self.exported.dedup();
        Ok(())
    }

    fn read_sections(&mut self, header: &FileHeader64<Endian>, endian: Endian, file: &[u8]) -> Result<(), ElfError> {
        let sections = header.sections(endian, file).map_err(damaged)?;
        for section in sections.iter() {
            self.has_symbols |= section.sh_type(endian) == SHT_SYMTAB;
            let name = sections.section_name(endian, section).unwrap_or_default();
            if DEBUG_SECTIONS.iter().any(|start| name.starts_with(start)) {
                self.debug_bytes = self.debug_bytes.saturating_add(section.sh_size(endian));
            }
        }
        Ok(())
    }
}

/// A file by the addresses that its segments have in memory.
struct View<'a> {
    file: &'a [u8],
    endian: Endian,
    segments: &'a [ProgramHeader64<Endian>],
}

impl<'a> View<'a> {
    fn dynamic(&self) -> Result<Option<&'a [Dyn64<Endian>]>, ElfError> {
        for segment in self.segments {
            if let Some(dynamic) = segment.dynamic(self.endian, self.file).map_err(damaged)? {
                return Ok(Some(dynamic));
            }
        }
        Ok(None)
    }

    /// The bytes of the file from `address` to the end of its segment.
    fn from(&self, address: u64) -> Result<&'a [u8], ElfError> {
        let outside = || ElfError::Damaged(format!("address {address:#x} is in no segment"));
        let (offset, size) = self
            .segments
            .iter()
            .filter(|segment| segment.p_type(self.endian) == PT_LOAD)
            .find_map(|segment| {
                let within = address.checked_sub(segment.p_vaddr(self.endian))?;
                let size = segment.p_filesz(self.endian).checked_sub(within).filter(|size| *size > 0)?;
                Some((segment.p_offset(self.endian).checked_add(within)?, size))
            })
            .ok_or_else(outside)?;
        self.file.read_bytes_at(offset, size).map_err(|()| outside())
    }

    fn strings(&self, address: Option<u64>, size: Option<u64>) -> Result<StringTable<'a>, ElfError> {
        let Some(address) = address else { return Ok(StringTable::default()) };
        let bytes = self.from(address)?;
        let size = size.unwrap_or(bytes.len() as u64).min(bytes.len() as u64);
        Ok(StringTable::new(bytes, 0, size))
    }
}

fn text(strings: &StringTable<'_>, offset: u64) -> Result<String, ElfError> {
    let offset = u32::try_from(offset).map_err(|_| ElfError::Damaged("a name lies outside the file".to_owned()))?;
    let bytes = strings.get(offset).map_err(|()| ElfError::Damaged("a name lies outside the file".to_owned()))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn keep(names: &mut Vec<String>, name: String) {
    if names.len() < NAMES_MAX {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// A library of this C source, built with these more arguments; its bytes.
    fn built(source: &str, arguments: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (c, so) = (folder.path().join("a.c"), folder.path().join("a.so"));
        std::fs::write(&c, source).unwrap();
        let compile = |arguments: &[&str], out: &Path| {
            let done =
                Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(out).arg(&c).args(arguments).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        compile(arguments, &so);
        std::fs::read(so).unwrap()
    }

    const SOURCE: &str = "#include <math.h>
        __attribute__((visibility(\"hidden\"))) int hidden(void) { return 1; }
        static int local(void) { return 2; }
        int offered(double x) { return hidden() + local() + (int) pow(x, x); }
        __attribute__((weak)) int table[3];";

    #[test]
    fn exports_and_needs_are_those_of_the_loader() {
        for hash in ["-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv"] {
            let anatomy = read(&built(SOURCE, &[hash, "-Wl,--no-as-needed", "-lm"])).unwrap();
            assert_eq!(anatomy.exported, ["offered", "table"], "{hash}");
            assert!(anatomy.needed.iter().any(|name| name.starts_with("libm.so")), "{:?}", anatomy.needed);
            assert!(anatomy.needed.iter().any(|name| name.starts_with("libc.so")), "{:?}", anatomy.needed);
            assert!(!anatomy.executable_stack && !anatomy.text_relocations && anatomy.run_paths.is_empty());
            assert!(anatomy.memory_bytes > 0 && anatomy.has_symbols);
        }
    }

    #[test]
    fn flags_of_the_linker_show() {
        let plain = read(&built(SOURCE, &[])).unwrap();
        assert_eq!(plain.debug_bytes, 0);
        assert!(read(&built(SOURCE, &["-g"])).unwrap().debug_bytes > 0);
        assert!(!read(&built(SOURCE, &["-s"])).unwrap().has_symbols);
        assert!(read(&built(SOURCE, &["-Wl,-z,execstack"])).unwrap().executable_stack);
        assert_eq!(read(&built(SOURCE, &["-Wl,-rpath,/opt/a:/opt/b"])).unwrap().run_paths, ["/opt/a:/opt/b"]);
        let tls =
            "static __thread int seat __attribute__((tls_model(\"initial-exec\"))); int sit(void) { return ++seat; }";
        assert!(read(&built(tls, &["-O0"])).unwrap().static_tls && !plain.static_tls);
    }

    #[test]
    fn damage_is_never_a_panic() {
        let whole = built(SOURCE, &[]);
        let mut random = fastrand::Rng::with_seed(11);
        let (mut damaged, mut refused) = (whole.clone(), 0);
        for round in 0..20_000 {
            let places: Vec<usize> = (0..random.usize(1..6)).map(|_| random.usize(0..whole.len())).collect();
            for &place in &places {
                damaged[place] = if random.bool() { random.u8(..) } else { u8::MAX };
            }
            let outcome = std::panic::catch_unwind(|| read(&damaged).is_err());
            refused += usize::from(outcome.unwrap_or_else(|_| panic!("seed 11, round {round}: {places:?}")));
            for &place in &places {
                damaged[place] = whole[place];
            }
        }
        assert!(refused > 100, "the damage must matter: {refused}");
    }
}

//! What packing must know of an ELF file: who loads it, and which libraries it asks for.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::elf::{
    DT_FLAGS_1, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, EM_X86_64, ET_DYN, ET_EXEC,
    FileHeader64, PT_LOAD, SHT_DYNSYM,
};
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Sym};
use object::{Endianness, ReadCache, ReadRef};

use super::error::PackError;

/// DF_1_NODEFLIB of DT_FLAGS_1: neither the cache nor the default directories are searched.
const DF_1_NODEFLIB: u64 = 0x800;

/// An ELF file's demands on the dynamic linker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elf {
    /// The program interpreter; none for a static program and for most libraries.
    pub(crate) interpreter: Option<PathBuf>,
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    /// DT_RPATH and DT_RUNPATH, not yet split or expanded.
    pub(crate) rpath: Option<String>,
    pub(crate) runpath: Option<String>,
    pub(crate) no_default_directories: bool,
    /// The functions and variables that it takes from other files.
    pub(crate) imports: HashSet<String>,
}

/// Whether a file that begins with these bytes is an ELF file.
pub(crate) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

impl Elf {
    /// Reads the headers and the dynamic section.
    pub(crate) fn read(path: &Path) -> Result<Self, PackError> {
        let file = File::open(path).map_err(PackError::io(path))?;
        let data = ReadCache::new(file);
        parse(&data).map_err(|refusal| match refusal {
            Refusal::Architecture(found) => PackError::Architecture { path: path.to_path_buf(), found },
            Refusal::Corrupt(why) => PackError::CorruptElf { path: path.to_path_buf(), why },
        })
    }
}

/// The same of a file in memory; `None` where it is not for this machine, or damaged.
pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Elf> {
    parse(bytes).ok()
}

enum Refusal {
    Architecture(String),
    Corrupt(String),
}

impl From<object::read::Error> for Refusal {
    fn from(error: object::read::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

fn parse<'d>(data: impl ReadRef<'d>) -> Result<Elf, Refusal> {
    let ident = data.read_bytes_at(0, 20).map_err(|()| Refusal::Corrupt("it is cut off".into()))?;
    match (ident[4], ident[5]) {
        (2, 1) => {}
        (1, _) => return Err(Refusal::Architecture("a 32-bit program".into())),
        (2, 2) => return Err(Refusal::Architecture("a big-endian program".into())),
        _ => return Err(Refusal::Corrupt("its class is unknown".into())),
    }
    let machine = u16::from_le_bytes([ident[18], ident[19]]);
    if machine != EM_X86_64.0 {
        let name = match machine {
            3 => "i386".into(),
            40 => "32-bit ARM".into(),
            183 => "ARM64".into(),
            243 => "RISC-V".into(),
            other => format!("ELF machine {other}"),
        };
        return Err(Refusal::Architecture(name));
    }
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let kind = header.e_type(endian);
    if kind != ET_EXEC && kind != ET_DYN {
        return Err(Refusal::Corrupt("it is neither a program nor a shared library".into()));
    }
    let segments = header.program_headers(endian, data)?;
    let mut elf = Elf::default();
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, data)? {
            elf.interpreter = Some(PathBuf::from(OsStr::from_bytes(path)));
        }
    }
    for segment in segments {
        let Some(entries) = segment.dynamic(endian, data)? else { continue };
        let value =
            |tag| entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.val(endian));
        let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else { continue };
        // The string table is named by address; its place in the file is by the segment that holds it.
        let offset = segments
            .iter()
            .filter(|load| load.p_type(endian) == PT_LOAD)
            .find_map(|load| {
                let within = address.checked_sub(load.p_vaddr(endian))?;
                (within < load.p_filesz(endian)).then(|| load.p_offset(endian).checked_add(within))?
            })
            .ok_or_else(|| Refusal::Corrupt("its dynamic strings lie outside of its segments".into()))?;
        let strings = StringTable::new(data, offset, offset.saturating_add(size));
        for entry in entries {
            let text = || -> Result<String, Refusal> {
                let bytes = entry.string(endian, strings)?;
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| Refusal::Corrupt("a library's name is not UTF-8".into()))
            };
            match entry.d_tag(endian) {
                DT_NEEDED => elf.needed.push(text()?),
                DT_SONAME => elf.soname = Some(text()?),
                DT_RPATH => elf.rpath = Some(text()?),
                DT_RUNPATH => elf.runpath = Some(text()?),
                DT_FLAGS_1 => elf.no_default_directories = entry.val(endian) & DF_1_NODEFLIB != 0,
                tag if tag.0 == 0 => break,
                _ => {}
            }
        }
    }
    elf.imports = imports(header, endian, data).unwrap_or_default();
    Ok(elf)
}

/// The undefined symbols of the dynamic symbol table. A file without section headers shows none.
fn imports<'d>(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: impl ReadRef<'d>,
) -> object::read::Result<HashSet<String>> {
    let symbols = header.sections(endian, data)?.symbols(endian, data, SHT_DYNSYM)?;
    let undefined = symbols.iter().filter(|symbol| symbol.is_undefined(endian));
    let name = |symbol: &object::elf::Sym64<Endianness>| symbol.name(endian, symbols.strings()).ok();
    Ok(undefined.filter_map(name).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

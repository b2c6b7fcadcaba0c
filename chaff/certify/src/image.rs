//! A linked program as the checker sees it: the bytes that are loaded, and the names of what its stubs jump to.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionFlags, elf};

/// A program whose symbols are not stripped yet.
#[derive(Debug)]
pub struct Image {
    sections: Vec<Section>,
    /// Pointer slots that the dynamic linker fills, by address.
    slots: BTreeMap<u64, String>,
    symbols: BTreeMap<String, (u64, u64)>,
    low: u64,
    high: u64,
}

#[derive(Debug)]
struct Section {
    address: u64,
    data: Vec<u8>,
    constant: bool,
}

impl Image {
    /// Reads a linked program.
    ///
    /// # Errors
    /// When it is no ELF program.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes).context("not an ELF file")?;
        let mut image = Self {
            sections: Vec::new(),
            slots: BTreeMap::new(),
            symbols: BTreeMap::new(),
            low: u64::MAX,
            high: 0,
        };
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 || section.size() == 0 {
                continue;
            }
            image.low = image.low.min(section.address());
            image.high = image.high.max(section.address() + section.size());
            // What relocation may change at load time is not constant even where it is read-only afterwards.
            let name = section.name().unwrap_or_default();
            let constant = sh_flags & u64::from(elf::SHF_WRITE) == 0 && !name.contains("rel.ro");
            let data = section.data().unwrap_or_default().to_vec();
            image.sections.push(Section { address: section.address(), data, constant });
        }
        let dynamic = file.dynamic_symbol_table();
        for (address, relocation) in file.dynamic_relocations().into_iter().flatten() {
            if let RelocationTarget::Symbol(index) = relocation.target()
                && let Some(table) = &dynamic
            {
                use object::ObjectSymbolTable as _;
                if let Ok(symbol) = table.symbol_by_index(index)
                    && let Ok(name) = symbol.name()
                {
                    image.slots.insert(address, name.to_owned());
                }
            }
        }
        for symbol in file.symbols() {
            if let Ok(name) = symbol.name()
                && symbol.is_definition()
            {
                image.symbols.insert(name.to_owned(), (symbol.address(), symbol.size()));
            }
        }
        Ok(image)
    }

    /// Address and size of a symbol.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<(u64, u64)> {
        self.symbols.get(name).copied()
    }

    /// Names and places of all symbols.
    pub fn symbols(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.symbols.iter().map(|(name, &(address, size))| (name.as_str(), address, size))
    }

    /// Whether the program occupies this address.
    #[must_use]
    pub fn holds(&self, address: u64) -> bool {
        (self.low..self.high).contains(&address)
    }

    /// Bytes at an address up to the end of its section.
    #[must_use]
    pub fn bytes(&self, address: u64) -> Option<&[u8]> {
        self.section(address)
            .and_then(|section| section.data.get(usize::try_from(address - section.address).ok()?..))
    }

    fn section(&self, address: u64) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| (section.address..section.address + section.data.len() as u64).contains(&address))
    }

    /// Bytes that nothing changes after loading.
    #[must_use]
    pub fn constant(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.section(address).filter(|section| section.constant)?;
        self.bytes(address)?.get(..length)
    }

    /// What the dynamic linker puts into a pointer slot.
    #[must_use]
    pub fn slot(&self, address: u64) -> Option<&str> {
        self.slots.get(&address).map(String::as_str)
    }

    /// The library function that a stub at this address jumps to.
    #[must_use]
    pub fn stub(&self, address: u64) -> Option<&str> {
        let bytes = self.bytes(address)?;
        let mut decoder =
            Decoder::with_ip(64, bytes.get(..bytes.len().min(32))?, address, DecoderOptions::NONE);
        for _ in 0..2 {
            let instruction = decoder.decode();
            match instruction.mnemonic() {
                Mnemonic::Endbr64 => {}
                Mnemonic::Jmp
                    if instruction.op0_kind() == OpKind::Memory && instruction.is_ip_rel_memory_operand() =>
                {
                    return self.slot(instruction.ip_rel_memory_address());
                }
                _ => return None,
            }
        }
        None
    }
}

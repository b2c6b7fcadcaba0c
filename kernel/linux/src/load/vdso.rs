//! The vDSO as a mapping of each program: one page of the arena for all of them, which none can write.

use crate::errno::Errno;
use crate::mem::map::{Area, Backing, Name};
use crate::mem::{Request, Space};
use alloc::sync::Arc;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::page::Pages;
use husk_machine::vdso;
use linux_raw_sys::general::{PROT_EXEC, PROT_READ};

/// Made with the first program.
static PAGE: Global<KCell<Option<Arc<Pages>>>> = Global::new(KCell::default);

fn page() -> Result<Arc<Pages>, Errno> {
    if let Some(page) = &*PAGE.borrow() {
        return Ok(page.clone());
    }
    let page = Arc::new(Pages::zeroed(1).map_err(|_| Errno::ENOMEM)?);
    let mut image = [0; vdso::LEN];
    vdso::write(&mut image);
    page.span().write(&image);
    drop(PAGE.replace(Some(page.clone())));
    Ok(page)
}

/// Maps it where there is room: its address, for AT_SYSINFO_EHDR.
pub fn map(space: &Space) -> Result<usize, Errno> {
    let backing = Backing::Shared { pages: page()?, offset: 0 };
    let protection = PROT_READ | PROT_EXEC;
    let area = Area { backing, shared: true, may: protection, ..Area::anonymous(protection, Name::Vdso) };
    space.map(Request::anywhere(PAGE_SIZE, area))
}

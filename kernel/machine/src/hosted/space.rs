//! An address space in which every request succeeds and nothing can be touched.

pub type HostError = i32;
pub type Protection = u32;

/// No address space at all.
pub struct Handle;

impl Handle {
    pub fn new() -> Result<Self, crate::page::OutOfMemory> {
        Ok(Self)
    }

    pub fn fork(&self) -> Result<Self, crate::page::OutOfMemory> {
        Ok(Self)
    }

    pub fn activate(&self) {}

    /// Nothing can be touched.
    pub fn resident(&self) -> Option<usize> {
        None
    }
}

pub fn map_anonymous(_start: usize, _len: usize, _protection: Protection) -> Result<(), HostError> {
    Ok(())
}

pub fn map_image(
    _start: usize,
    _len: usize,
    _protection: Protection,
    _offset: usize,
) -> Result<(), HostError> {
    Ok(())
}

pub fn map_pages(
    _start: usize,
    _len: usize,
    _protection: Protection,
    _address: usize,
    _shared: bool,
) -> Result<(), HostError> {
    Ok(())
}

pub fn map_snapshot(
    _start: usize,
    _len: usize,
    _protection: Protection,
    _offset: usize,
) -> Result<(), HostError> {
    Ok(())
}

/// Nothing can be touched.
pub fn presence(_start: usize, out: &mut [u8]) -> Result<(), HostError> {
    out.fill(0);
    Ok(())
}

pub fn unmap(_start: usize, _len: usize) -> Result<(), HostError> {
    Ok(())
}

pub fn unmap_all() -> Result<(), HostError> {
    Ok(())
}

pub fn protect(_start: usize, _len: usize, _protection: Protection) -> Result<(), HostError> {
    Ok(())
}

pub fn discard(_start: usize, _len: usize) -> Result<(), HostError> {
    Ok(())
}

pub fn relocate(_from: usize, _len: usize, _to: usize) -> Result<(), HostError> {
    Ok(())
}

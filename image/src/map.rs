//! A store's EROFS files, mapped into memory. The one unsafe line of this crate.

#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use crate::ImageError;

/// A mapped file of the store.
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    pub(crate) fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(ImageError::io(path))?;
        // SAFETY: files of the store get their names when they are whole and are never written again, only removed; one
        // that another program of the same user cuts off ends this process with SIGBUS.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Self).map_err(ImageError::io(path))
    }

    pub(crate) fn image<'a>(&'a self, path: &Path) -> Result<husk_erofs::Image<'a>, ImageError> {
        husk_erofs::Image::open(&self.0)
            .map_err(|error| ImageError::Erofs { path: path.to_path_buf(), error })
    }

    /// An image whose files' bytes are elsewhere, in an address space of `len` bytes.
    pub(crate) fn metadata<'a>(&'a self, path: &Path, len: u64) -> Result<husk_erofs::Image<'a>, ImageError> {
        husk_erofs::Image::open_metadata(&self.0, len)
            .map_err(|error| ImageError::Erofs { path: path.to_path_buf(), error })
    }
}

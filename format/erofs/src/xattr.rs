//! Extended attributes: those that follow the inode, and those that several inodes share.

use crate::layout::{XATTR_ENTRY, XATTR_HEADER, XATTR_PREFIXES};
use crate::{Error, Image, Inode, u16_at, u32_at};

/// An extended attribute. Its name is `prefix` and `suffix` together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xattr<'a> {
    pub prefix: &'static str,
    pub suffix: &'a [u8],
    pub value: &'a [u8],
}

impl Xattr<'_> {
    /// Whether this is the attribute of that (whole) name.
    #[must_use]
    pub fn is_named(&self, name: &[u8]) -> bool {
        name.strip_prefix(self.prefix.as_bytes()) == Some(self.suffix)
    }
}

/// An inode's attributes, from [`Image::xattrs`]. Ends behind the first error.
pub struct Xattrs<'a> {
    image: Image<'a>,
    inode: Inode,
    shared_count: u64,
    shared_next: u64,
    /// Offset of the next inline entry in the inode's area; behind its end, there is none.
    inline_next: u64,
}

impl<'a> Xattrs<'a> {
    fn step(&mut self) -> Result<Option<Xattr<'a>>, Error> {
        let corrupt = Error::Corrupt { nid: self.inode.nid, what: "its extended attributes are damaged" };
        let Inode { xattr_at, xattr_len, .. } = self.inode;
        if self.shared_next < self.shared_count {
            let id = self.image.slice(xattr_at + XATTR_HEADER + self.shared_next * 4, 4).ok_or(corrupt)?;
            self.shared_next += 1;
            let at = self.image.shared_xattrs + u64::from(u32_at(id, 0).ok_or(corrupt)?) * 4;
            let from = usize::try_from(at).map_err(|_| corrupt)?;
            let bytes = self.image.bytes.get(from..).ok_or(corrupt)?;
            return parse(bytes).map(|(xattr, _)| Some(xattr)).ok_or(corrupt);
        }
        if self.inline_next + XATTR_ENTRY as u64 > xattr_len {
            return Ok(None);
        }
        let area = self.image.slice(xattr_at + self.inline_next, xattr_len - self.inline_next);
        let (xattr, len) = parse(area.ok_or(corrupt)?).ok_or(corrupt)?;
        self.inline_next += len as u64;
        Ok(Some(xattr))
    }
}

impl<'a> Iterator for Xattrs<'a> {
    type Item = Result<Xattr<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.shared_next = self.shared_count;
            self.inline_next = u64::from(u32::MAX);
        }
        step.transpose()
    }
}

/// The entry at the start of `bytes`, and its length with padding.
fn parse(bytes: &[u8]) -> Option<(Xattr<'_>, usize)> {
    let name_len = usize::from(*bytes.first()?);
    let index = *bytes.get(1)?;
    let value_len = usize::from(u16_at(bytes, 2)?);
    let (_, prefix) = XATTR_PREFIXES.into_iter().find(|&(number, _)| number == index)?;
    let rest = bytes.get(XATTR_ENTRY..)?;
    let suffix = rest.get(..name_len)?;
    let value = rest.get(name_len..name_len + value_len)?;
    Some((Xattr { prefix, suffix, value }, (XATTR_ENTRY + name_len + value_len).next_multiple_of(4)))
}

impl<'a> Image<'a> {
    /// The inode's extended attributes, in no particular order.
    #[must_use]
    pub fn xattrs(&self, inode: &Inode) -> Xattrs<'a> {
        // The area was checked with the inode; an inode without one has length zero and so no entry.
        let header = self.slice(inode.xattr_at, inode.xattr_len.min(XATTR_HEADER)).unwrap_or_default();
        let shared_count = u64::from(header.get(4).copied().unwrap_or(0));
        let fits = XATTR_HEADER + shared_count * 4 <= inode.xattr_len;
        Xattrs {
            image: *self,
            inode: *inode,
            shared_count: if fits { shared_count } else { 0 },
            shared_next: 0,
            inline_next: if fits { XATTR_HEADER + shared_count * 4 } else { u64::from(u32::MAX) },
        }
    }

    /// The value of one attribute, by its whole name (`user.x`).
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn xattr(&self, inode: &Inode, name: &[u8]) -> Result<Option<&'a [u8]>, Error> {
        for xattr in self.xattrs(inode) {
            let xattr = xattr?;
            if xattr.is_named(name) {
                return Ok(Some(xattr.value));
            }
        }
        Ok(None)
    }
}

//! Reading a plan where it lies.

use core::ffi::CStr;

use crate::{Damaged, Fnv, Input, MAGIC, Request, Stamp};

/// A plan in a buffer. Everything in it was bounds-checked by [`Plan::decode`].
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    uid: u32,
    requested: &'a CStr,
    library_path: &'a CStr,
    directory: &'a CStr,
    version: &'a CStr,
    image: &'a CStr,
    image_size: u64,
    program: &'a CStr,
    with: With<'a>,
    inputs: Inputs<'a>,
}

/// What is left to read.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// What follows `magic` in bytes whose checksum fits.
    pub(crate) fn checked(bytes: &'a [u8], magic: &[u8]) -> Result<Self, Damaged> {
        let (body, sum) = bytes.split_last_chunk().ok_or(Damaged)?;
        let mut hash = Fnv::new();
        hash.add(body);
        if hash.0 != u64::from_le_bytes(*sum) {
            return Err(Damaged);
        }
        body.strip_prefix(magic).map(Reader).ok_or(Damaged)
    }

    pub(crate) fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }

    pub(crate) fn inputs(&mut self) -> Result<Inputs<'a>, Damaged> {
        let left = self.u32()?;
        let inputs = Inputs { left, reader: self.clone() };
        for _ in 0..left {
            self.input()?;
        }
        Ok(inputs)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn string(&mut self) -> Result<&'a CStr, Damaged> {
        let len = usize::try_from(self.u32()?).map_err(|_| Damaged)?.checked_add(1).ok_or(Damaged)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        CStr::from_bytes_with_nul(bytes).map_err(|_| Damaged)
    }

    fn input(&mut self) -> Result<Input<'a>, Damaged> {
        let path = self.string()?;
        let stamp = match self.array()? {
            [0] => None,
            [1] => Some(Stamp {
                device: self.u64()?,
                ino: self.u64()?,
                size: self.u64()?,
                mtime_ns: self.u64()?.cast_signed(),
                ctime_ns: self.u64()?.cast_signed(),
            }),
            _ => return Err(Damaged),
        };
        Ok(Input { path, stamp })
    }
}

/// The arguments of `--with`, from [`Plan::with`].
#[derive(Clone, Debug)]
pub struct With<'a> {
    left: u32,
    reader: Reader<'a>,
}

impl<'a> Iterator for With<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.reader.string().ok().map(CStr::to_bytes)
    }
}

/// The files that the plan holds for, from [`Plan::inputs`].
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    left: u32,
    reader: Reader<'a>,
}

impl<'a> Iterator for Inputs<'a> {
    type Item = Input<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.reader.input().ok()
    }
}

impl<'a> Plan<'a> {
    /// Reads a whole plan.
    ///
    /// # Errors
    /// [`Damaged`]: pack again.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::checked(bytes, MAGIC)?;
        let uid = reader.u32()?;
        let image_size = reader.u64()?;
        let requested = reader.string()?;
        let library_path = reader.string()?;
        let directory = reader.string()?;
        let version = reader.string()?;
        let image = reader.string()?;
        let program = reader.string()?;
        let left = reader.u32()?;
        let with = With { left, reader: reader.clone() };
        for _ in 0..left {
            reader.string()?;
        }
        let inputs = reader.inputs()?;
        reader.end()?;
        Ok(Self {
            uid,
            requested,
            library_path,
            directory,
            version,
            image,
            image_size,
            program,
            with,
            inputs,
        })
    }

    /// Whether the plan was made for this request.
    #[must_use]
    pub fn answers<'b, W: Iterator<Item = &'b [u8]> + Clone>(&self, request: &Request<'b, W>) -> bool {
        self.uid == request.uid
            && self.requested.to_bytes() == request.program
            && self.library_path.to_bytes() == request.library_path
            && self.directory.to_bytes() == request.directory
            && self.version.to_bytes() == request.version
            && self.with().eq(request.with.clone())
    }

    /// The root image on the host. It may be gone; then pack again.
    #[must_use]
    pub fn image(&self) -> &'a CStr {
        self.image
    }

    /// The image's length in bytes. Another one means that a crash cut it off: pack again.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// The program's path in the guest.
    #[must_use]
    pub fn program(&self) -> &'a CStr {
        self.program
    }

    /// The arguments of `--with` that were packed.
    #[must_use]
    pub fn with(&self) -> With<'a> {
        self.with.clone()
    }

    /// The files that must be as they were.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'a> {
        self.inputs.clone()
    }
}

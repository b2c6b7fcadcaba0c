//! The plan of a container image: the files of its root, and how its program is started.
//!
//! It holds for an [`ImageRequest`] as long as each input (the file by which the store knows the name) has its stamp and
//! each file its size.

use core::ffi::CStr;

use crate::decode::{Inputs, Reader};
use crate::encode::{put_inputs, string};
use crate::{Damaged, FILE_NAME_LEN, Fnv, Input};

/// As [`crate::MAGIC`].
const MAGIC: &[u8; 8] = b"huskim02";

/// The longest image plan, in bytes: the front's buffer. Environment and arguments are in it.
pub const IMAGE_SIZE_MAX: usize = 256 << 10;

/// What was asked for, as far as it decides the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRequest<'a> {
    /// As the user wrote it. Paths in it are relative to `directory`.
    pub image: &'a [u8],
    /// `--user`, empty where it was not given.
    pub user: &'a [u8],
    /// The working directory where the image is a path, else empty.
    pub directory: &'a [u8],
    /// The store: XDG_DATA_HOME and HOME.
    pub data: &'a [u8],
    /// See `data`.
    pub home: &'a [u8],
    /// The invoking user.
    pub uid: u32,
}

impl ImageRequest<'_> {
    fn fields(&self) -> [&[u8]; 5] {
        [self.image, self.user, self.directory, self.data, self.home]
    }

    /// The name of the plan's file; compare with [`ImagePlan::answers`].
    #[must_use]
    pub fn file_name(&self) -> [u8; FILE_NAME_LEN] {
        let mut hash = Fnv::new();
        hash.add(MAGIC);
        for field in self.fields() {
            hash.add(&(field.len() as u64).to_le_bytes());
            hash.add(field);
        }
        hash.add(&self.uid.to_le_bytes());
        hash.hex()
    }
}

/// What a plan says, to be written.
#[derive(Clone, Copy, Debug)]
pub struct ImageStart<'a> {
    /// Path and bytes of each file, the merged metadata first.
    pub files: &'a [(&'a [u8], u64)],
    pub entrypoint: &'a [&'a [u8]],
    pub cmd: &'a [&'a [u8]],
    pub env: &'a [&'a [u8]],
    pub cwd: &'a [u8],
    pub uid: u32,
    pub gid: u32,
    pub groups: &'a [u32],
    pub stop_signal: u32,
    /// The image's volumes: absolute paths without `.`, `..` and doubled slashes, in order.
    pub volumes: &'a [&'a [u8]],
}

/// Sends an image plan's bytes to `out`, in several pieces.
pub fn encode_image(
    request: &ImageRequest<'_>,
    start: &ImageStart<'_>,
    inputs: &[Input<'_>],
    mut out: impl FnMut(&[u8]),
) {
    let mut hash = Fnv::new();
    let mut put = |bytes: &[u8]| {
        hash.add(bytes);
        out(bytes);
    };
    put(MAGIC);
    put(&request.uid.to_le_bytes());
    for field in request.fields() {
        string(field, &mut put);
    }
    string(start.cwd, &mut put);
    for number in [start.uid, start.gid, start.stop_signal, start.groups.len() as u32] {
        put(&number.to_le_bytes());
    }
    for group in start.groups {
        put(&group.to_le_bytes());
    }
    for list in [start.entrypoint, start.cmd, start.env, start.volumes] {
        put(&(list.len() as u32).to_le_bytes());
        list.iter().for_each(|text| string(text, &mut put));
    }
    put(&(start.files.len() as u32).to_le_bytes());
    for (path, size) in start.files {
        string(path, &mut put);
        put(&size.to_le_bytes());
    }
    put_inputs(inputs, &mut put);
    let sum = hash.0.to_le_bytes();
    out(&sum);
}

/// A list of strings in a plan.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    left: u32,
    reader: Reader<'a>,
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.reader.string().ok()
    }
}

/// The files of the root, path and bytes.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    left: u32,
    reader: Reader<'a>,
}

impl<'a> Iterator for Files<'a> {
    type Item = (&'a CStr, u64);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((self.reader.string().ok()?, self.reader.u64().ok()?))
    }
}

/// Supplementary groups.
#[derive(Clone, Debug)]
pub struct Groups<'a> {
    left: u32,
    reader: Reader<'a>,
}

impl Iterator for Groups<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        self.reader.u32().ok()
    }
}

/// An image plan in a buffer. Everything in it was bounds-checked by [`ImagePlan::decode`].
#[derive(Clone, Debug)]
pub struct ImagePlan<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    request_uid: u32,
    request: [&'a CStr; 5],
    pub cwd: &'a CStr,
    pub uid: u32,
    pub gid: u32,
    pub stop_signal: u32,
    pub groups: Groups<'a>,
    pub entrypoint: Texts<'a>,
    pub cmd: Texts<'a>,
    pub env: Texts<'a>,
    /// See [`ImageStart::volumes`].
    pub volumes: Texts<'a>,
    pub files: Files<'a>,
    pub inputs: Inputs<'a>,
}

impl<'a> ImagePlan<'a> {
    /// Reads a whole plan.
    ///
    /// # Errors
    /// [`Damaged`]: ask the store again.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::checked(bytes, MAGIC)?;
        let request_uid = reader.u32()?;
        let mut request = [c""; 5];
        for field in &mut request {
            *field = reader.string()?;
        }
        let cwd = reader.string()?;
        let (uid, gid, stop_signal) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let left = reader.u32()?;
        let groups = Groups { left, reader: reader.clone() };
        for _ in 0..left {
            reader.u32()?;
        }
        let mut texts = || {
            let left = reader.u32()?;
            let texts = Texts { left, reader: reader.clone() };
            for _ in 0..left {
                reader.string()?;
            }
            Ok(texts)
        };
        let (entrypoint, cmd, env, volumes) = (texts()?, texts()?, texts()?, texts()?);
        let left = reader.u32()?;
        let files = Files { left, reader: reader.clone() };
        for _ in 0..left {
            reader.string()?;
            reader.u64()?;
        }
        let inputs = reader.inputs()?;
        reader.end()?;
        Ok(Self {
            bytes,
            request_uid,
            request,
            cwd,
            uid,
            gid,
            stop_signal,
            groups,
            entrypoint,
            cmd,
            env,
            volumes,
            files,
            inputs,
        })
    }

    /// Whether the plan was made for this request.
    #[must_use]
    pub fn answers(&self, request: &ImageRequest<'_>) -> bool {
        self.request_uid == request.uid
            && self.request.iter().zip(request.fields()).all(|(own, asked)| own.to_bytes() == asked)
    }
}

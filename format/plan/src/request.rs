//! What was asked for, as far as it decides what is packed.

use crate::{FILE_NAME_LEN, Fnv};

/// A request to pack a program. Two that are equal get the same image while no input changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a, W> {
    /// The program's path: absolute, already searched in PATH, symbolic links not resolved.
    pub program: &'a [u8],
    /// The arguments of `--with`, in order.
    pub with: W,
    /// LD_LIBRARY_PATH, empty where it is not set.
    pub library_path: &'a [u8],
    /// The invoking user, who is named in the guest's passwd.
    pub uid: u32,
    /// The working directory if [`chooses_by_directory`], else empty.
    pub directory: &'a [u8],
    /// PYENV_VERSION if [`chooses_by_directory`], else empty.
    pub version: &'a [u8],
}

/// Whether what the program is depends on the working directory: a version manager's shim (pyenv, rbenv),
/// which is known by its place in a directory `shims`.
#[must_use]
pub fn chooses_by_directory(program: &[u8]) -> bool {
    let mut parts = program.split(|&byte| byte == b'/').rev().filter(|part| !part.is_empty());
    parts.nth(1) == Some(b"shims")
}

impl<'a, W: Iterator<Item = &'a [u8]> + Clone> Request<'a, W> {
    /// The name of the plan's file: the request's hash. Different requests may share it, so compare with
    /// [`Plan::answers`](crate::Plan::answers).
    #[must_use]
    pub fn file_name(&self) -> [u8; FILE_NAME_LEN] {
        let mut hash = Fnv::new();
        let mut field = |bytes: &[u8]| {
            hash.add(&(bytes.len() as u64).to_le_bytes());
            hash.add(bytes);
        };
        field(self.program);
        field(self.library_path);
        field(self.directory);
        field(self.version);
        field(&self.uid.to_le_bytes());
        self.with.clone().for_each(field);
        hash.hex()
    }
}

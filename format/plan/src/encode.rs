//! Writing a plan.

use crate::{Fnv, Input, MAGIC, Request};

/// Sends a plan's bytes to `out`, in several pieces. `image` is the root image's path on the host and
/// `image_size` its length in bytes; `program` is the program's path in the guest.
///
/// Strings of 4 GiB and more cannot be stored: their plan does not decode.
pub fn encode<'a, W: Iterator<Item = &'a [u8]> + Clone>(
    request: &Request<'a, W>,
    image: &[u8],
    image_size: u64,
    program: &[u8],
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
    put(&image_size.to_le_bytes());
    let strings = [request.program, request.library_path, request.directory, request.version, image, program];
    for bytes in strings {
        string(bytes, &mut put);
    }
    put(&(request.with.clone().count() as u32).to_le_bytes());
    for with in request.with.clone() {
        string(with, &mut put);
    }
    put_inputs(inputs, &mut put);
    let sum = hash.0.to_le_bytes();
    out(&sum);
}

pub(crate) fn put_inputs(inputs: &[Input<'_>], put: &mut impl FnMut(&[u8])) {
    put(&(inputs.len() as u32).to_le_bytes());
    for input in inputs {
        string(input.path.to_bytes(), put);
        put(&[u8::from(input.stamp.is_some())]);
        if let Some(stamp) = input.stamp {
            put(&stamp.device.to_le_bytes());
            put(&stamp.ino.to_le_bytes());
            put(&stamp.size.to_le_bytes());
            put(&stamp.mtime_ns.to_le_bytes());
            put(&stamp.ctime_ns.to_le_bytes());
        }
    }
}

/// Length, bytes, and a zero, so that the reader can hand the string to the kernel as it lies.
pub(crate) fn string(bytes: &[u8], put: &mut impl FnMut(&[u8])) {
    put(&(bytes.len() as u32).to_le_bytes());
    put(bytes);
    put(&[0]);
}

//! The frame: all of a layer's tar that is no content of a file, from which with the image the tar is made again.

use super::BUFFER;
use crate::ImageError;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

const LITERAL: u8 = 0;

const DATA: u8 = 1;

/// The frame: bytes of the tar, and places in the image where it goes on.
pub(super) struct Frame<W> {
    pub(super) out: W,
}

impl<W: Write> Frame<W> {
    pub(super) fn literal(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        for piece in bytes.chunks(BUFFER) {
            self.record(LITERAL, &(piece.len() as u32).to_le_bytes())?;
            self.out.write_all(piece).map_err(ImageError::read("writing the layer's frame"))?;
        }
        Ok(())
    }

    pub(super) fn data(&mut self, at: u64, len: u64) -> Result<(), ImageError> {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&at.to_le_bytes());
        place[8..].copy_from_slice(&len.to_le_bytes());
        self.record(DATA, &place)
    }

    fn record(&mut self, kind: u8, rest: &[u8]) -> Result<(), ImageError> {
        let write = self.out.write_all(&[kind]).and_then(|()| self.out.write_all(rest));
        write.map_err(ImageError::read("writing the layer's frame"))
    }
}

/// Writes the tar again from which `image` and `frame` were made, byte for byte.
///
/// # Errors
/// [`ImageError::Read`], also for a damaged frame.
pub fn replay(image: &File, frame: &File, out: &mut impl Write) -> Result<(), ImageError> {
    let failed = |error| ImageError::read("the layer's frame")(error);
    let decoder = zstd::stream::Decoder::new(frame).map_err(failed)?;
    let mut records = BufReader::with_capacity(BUFFER, decoder);
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut kind = [0];
        if records.read(&mut kind).map_err(failed)? == 0 {
            return Ok(());
        }
        if kind[0] == LITERAL {
            let mut len = [0; 4];
            records.read_exact(&mut len).map_err(failed)?;
            let len = u64::from(u32::from_le_bytes(len));
            let copied = io::copy(&mut records.by_ref().take(len), out).map_err(failed)?;
            if copied != len {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            continue;
        }
        let mut place = [0; 16];
        records.read_exact(&mut place).map_err(failed)?;
        let (at, len) = place.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |all, &byte| (all << 8) | u64::from(byte));
        let (mut at, mut left) = (number(at), number(len));
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            image.read_exact_at(&mut buffer[..want], at).map_err(failed)?;
            out.write_all(&buffer[..want]).map_err(ImageError::read("writing the layer"))?;
            at += want as u64;
            left -= want as u64;
        }
    }
}

/// Bytes of the tar that a frame makes.
///
/// # Errors
/// [`ImageError::Read`].
pub(crate) fn tar_size(frame: &File) -> Result<u64, ImageError> {
    let failed = |error| ImageError::read("the layer's frame")(error);
    let mut records = BufReader::new(zstd::stream::Decoder::new(frame).map_err(failed)?);
    let mut total = 0;
    let mut kind = [0];
    while records.read(&mut kind).map_err(failed)? > 0 {
        if kind[0] == LITERAL {
            let mut len = [0; 4];
            records.read_exact(&mut len).map_err(failed)?;
            let len = u64::from(u32::from_le_bytes(len));
            total += io::copy(&mut records.by_ref().take(len), &mut io::sink()).map_err(failed)?;
        } else {
            let mut place = [[0; 8]; 2];
            records.read_exact(place.as_flattened_mut()).map_err(failed)?;
            total += u64::from_le_bytes(place[1]);
        }
    }
    Ok(total)
}

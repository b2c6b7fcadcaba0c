//! Digests: the names of content, and readers that hold content to its name.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ImageError;

/// A SHA-256 digest, `sha256:HEX` in text. Other algorithms are refused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(&Sha256::digest(bytes))
    }

    pub(crate) fn from_hash(hash: &[u8]) -> Self {
        use fmt::Write;
        let mut hex = String::with_capacity(64);
        for byte in hash {
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    /// The 64 hexadecimal digits, safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let hex = text.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        hex.map(|hex| Self(hex.to_owned())).ok_or_else(|| ImageError::Digest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Passes bytes on and hashes them.
pub(crate) struct Hashed<R> {
    inner: R,
    hash: Sha256,
    pub(crate) count: u64,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::from_hash(&self.hash.clone().finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

/// A blob's bytes, which end in an error unless they have the size and the digest that were promised. No more than
/// that size is ever taken from the source.
pub struct Verified<R> {
    what: String,
    inner: Hashed<R>,
    size: u64,
    digest: Digest,
}

impl<R: Read> Verified<R> {
    pub fn new(what: &str, inner: R, size: u64, digest: &Digest) -> Self {
        Self { what: what.to_owned(), inner: Hashed::new(inner), size, digest: digest.clone() }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = self.size - self.inner.count;
        if left > 0 {
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.inner.read(&mut buffer[..room])?;
            if count > 0 {
                return Ok(count);
            }
        } else if self.inner.inner.read(&mut [0])? > 0 {
            let (expected, found) = (self.size, self.size + 1);
            return Err(ImageError::WrongSize { what: self.what.clone(), expected, found }.into());
        }
        if self.inner.count != self.size {
            let (expected, found) = (self.size, self.inner.count);
            return Err(ImageError::WrongSize { what: self.what.clone(), expected, found }.into());
        }
        let found = self.inner.digest();
        if found != self.digest {
            let (expected, found) = (self.digest.to_string(), found.to_string());
            return Err(ImageError::WrongDigest { what: self.what.clone(), expected, found }.into());
        }
        Ok(0)
    }
}

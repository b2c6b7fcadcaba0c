//! The names of images, as Docker spells and completes them: `alpine` is `docker.io/library/alpine:latest`.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, ImageError};

/// A complete name: registry, repository, and a tag or a digest (a digest wins where both are given).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Host, with a port where there is one.
    pub registry: String,
    pub repository: String,
    pub tag: String,
    pub digest: Option<Digest>,
}

const DEFAULT_REGISTRY: &str = "docker.io";

impl FromStr for Reference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let refused = |why| ImageError::Reference(text.to_owned(), why);
        if text.len() > 512 {
            return Err(refused("it is longer than 512 bytes"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it belongs to a port.
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[last..].find(':') {
            Some(colon) => (&name[..last + colon], &name[last + colon + 1..]),
            None => (name, "latest"),
        };
        let is_tag = |tag: &str| {
            let mut bytes = tag.bytes();
            bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
                && tag.len() <= 128
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if !is_tag(tag) {
            return Err(refused("a tag has up to 128 letters, digits, '_', '.', '-'"));
        }
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, name.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let starts = registry.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
        if !starts || !registry.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
            return Err(refused("the registry is no host name"));
        }
        let is_component = |part: &str| {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let ends = |byte: Option<u8>| byte.is_some_and(inner);
            ends(part.bytes().next())
                && ends(part.bytes().last())
                && part.bytes().all(|byte| inner(byte) || b"._-".contains(&byte))
                && !part.contains("..")
        };
        if !repository.split('/').all(is_component) {
            return Err(refused(
                "a repository has lower-case letters, digits and '.', '_', '-' between them",
            ));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.to_owned(), digest })
    }
}

impl Reference {
    /// The short form that users write.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }

    /// The short form of the repository alone.
    #[must_use]
    pub fn familiar_repository(&self) -> String {
        let full = format!("{}/{}", self.registry, self.repository);
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => write!(f, ":{}", self.tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        for (short, full) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app:x", "localhost/app:x"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"),
            ("index.docker.io/library/alpine", "docker.io/library/alpine:latest"),
        ] {
            let reference: Reference = short.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
        }
        let digest = format!("a@sha256:{}", "0".repeat(64));
        assert!(digest.parse::<Reference>().unwrap().digest.is_some());
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for bad in
            ["", "A", "a:", "a:b:c", "a//b", "../a", "a/../b", "a@sha256:0", "a b", "a:.x", "-a", "a\0"]
        {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }
}

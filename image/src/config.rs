//! The documents of the OCI image specification (and Docker's schema 2, which has the same fields): descriptors,
//! manifests, indexes and configurations.
//!
//! A document is kept as the bytes that were hashed; these types are a reading of them. Unknown fields are passed over.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Digest, ImageError};

/// Media types.
pub mod media {
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
}

/// The largest document that is read.
pub const DOCUMENT_MAX: u64 = 8 << 20;

/// A reference to content by type, size and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What an image of an index is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// An image manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// An index of manifests, by platform or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
}

/// An image configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: Process,
    pub rootfs: RootFs,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// How the image's program is started: what Dockerfiles say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Process {
    /// `USER`, `UID`, or either with `:GROUP` or `:GID`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub user: String,
    /// As `80/tcp`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub working_dir: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub stop_signal: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub shell: Vec<String>,
    /// Kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub on_build: Vec<String>,
}

/// The layers by the digests of their uncompressed tars, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// How a layer came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Docker writes `null` where it means nothing.
fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a document; `what` names it in errors.
///
/// # Errors
/// [`ImageError::Document`].
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::document(what, error))
}

/// Writes a document.
#[must_use]
pub fn encode(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("plain structures of strings and numbers")
}

/// Either document that a name can lead to.
#[derive(Clone, Debug)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    /// Tells the two apart by their fields, not by what a server says.
    ///
    /// # Errors
    /// [`ImageError::Document`], also for both at once, which is a known attack.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let value: serde_json::Value = parse(what, bytes)?;
        let (has_layers, has_manifests) = (value.get("layers").is_some(), value.get("manifests").is_some());
        if value.get("schemaVersion").and_then(serde_json::Value::as_u64) == Some(1) {
            return Err(ImageError::document(what, "Docker's schema 1, which no registry needs any more"));
        }
        match (has_layers, has_manifests) {
            (true, false) => parse(what, bytes).map(Self::Manifest),
            (false, true) => parse(what, bytes).map(Self::Index),
            (true, true) => Err(ImageError::document(what, "a manifest and an index at once")),
            (false, false) => Err(ImageError::document(what, "neither a manifest nor an index")),
        }
    }
}

/// Whether guests run images of a platform, as `--platform` spells it: `[linux/]amd64`.
///
/// # Errors
/// [`ImageError::Other`] for all others.
pub fn check_platform(text: &str) -> Result<(), ImageError> {
    match text {
        "linux/amd64" | "amd64" | "linux/x86_64" => Ok(()),
        _ => Err(ImageError::Other(format!("--platform {text}: guests run linux/amd64 only"))),
    }
}

impl Index {
    /// The image for this machine.
    ///
    /// # Errors
    /// [`ImageError::Platform`].
    pub fn choose(&self, what: &str) -> Result<&Descriptor, ImageError> {
        let fits = |descriptor: &&Descriptor| {
            descriptor
                .platform
                .as_ref()
                .is_none_or(|platform| platform.os == "linux" && platform.architecture == "amd64")
        };
        // One that says so comes before one that says nothing, and before all one that any amd64 can run.
        let baseline =
            |platform: &Platform| platform.variant.as_deref().is_none_or(|variant| variant == "v1");
        let rank = |descriptor: &&Descriptor| match &descriptor.platform {
            Some(platform) if baseline(platform) => 0,
            Some(_) => 1,
            None => 2,
        };
        let said = self.manifests.iter().filter(fits).min_by_key(rank);
        said.ok_or_else(|| {
            let names: Vec<String> = self
                .manifests
                .iter()
                .filter_map(|descriptor| descriptor.platform.as_ref())
                .map(|platform| format!("{}/{}", platform.os, platform.architecture))
                .collect();
            let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            ImageError::Platform { what: what.to_owned(), found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nulls_are_nothing() {
        let config: Config = parse(
            "x",
            br#"{"config":{"Cmd":null,"Env":null,"Volumes":null},"rootfs":{"type":"layers","diff_ids":null}}"#,
        )
        .unwrap();
        assert_eq!(config.config, Process::default());
        assert!(parse::<Config>("x", br#"{"config":null,"rootfs":{"type":"layers"}}"#).is_ok());
    }

    #[test]
    fn a_document_is_one_thing() {
        assert!(Document::parse("x", br#"{"schemaVersion":2,"layers":[],"manifests":[]}"#).is_err());
        assert!(Document::parse("x", b"{}").is_err());
        assert!(Document::parse("x", b"[").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse("x", &bytes);
            let _ = parse::<Config>("x", &bytes);
        }

        #[test]
        fn no_json_makes_a_parser_panic(
            text in r#"\{"(schemaVersion|layers|manifests|rootfs|config)":(2|1|null|\[\]|\{\}|\[\{"digest":"(sha256:)?[0-9a-f]{0,66}","size":-?[0-9]{1,25}\}\])\}"#
        ) {
            let _ = Document::parse("x", text.as_bytes());
            let _ = parse::<Config>("x", text.as_bytes());
        }
    }
}

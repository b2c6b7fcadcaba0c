//! What becomes of a built image: an OCI layout, or one executable.

use crate::{BuildError, Image, users};
use husk_host::app::{self, App, Built};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes `image` as an OCI layout in the directory `to`, which must be empty or absent, with `name` as its tag. The
/// digest of the manifest.
///
/// # Errors
/// [`BuildError`].
pub fn layout(image: &Image, to: &Path, name: &str) -> Result<String, BuildError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| BuildError::Io { path, source }
    };
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(BuildError::Io { path: to.to_path_buf(), source });
    }
    let blobs = to.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(io(&blobs))?;
    let mut layers = Vec::new();
    let mut config = image.config.clone();
    config.rootfs.diff_ids.clear();
    for layer in &image.layers {
        let scratch = blobs.join(".layer");
        let (digest, size) = layer.write_tar(&scratch)?;
        let blob = blobs.join(hex(&digest));
        fs::rename(&scratch, &blob).map_err(io(&blob))?;
        let digest = format!("sha256:{}", hex(&digest));
        config.rootfs.diff_ids.push(digest.clone());
        layers.push(
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}),
        );
    }
    let put = |document: &[u8]| -> Result<String, BuildError> {
        let digest = hex(&Sha256::digest(document));
        let blob = blobs.join(&digest);
        fs::write(&blob, document).map_err(io(&blob))?;
        Ok(format!("sha256:{digest}"))
    };
    let encode = |value: &serde_json::Value| serde_json::to_vec(value).unwrap_or_default();
    let config = serde_json::to_vec(&config).unwrap_or_default();
    let config_digest = put(&config)?;
    let manifest = encode(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len(),
        },
        "layers": layers,
    }));
    let digest = put(&manifest)?;
    let index = encode(&json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
            "platform": {"architecture": "amd64", "os": "linux"},
        }],
    }));
    let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
    for (name, bytes) in [("oci-layout", &marker[..]), ("index.json", &index)] {
        let path = to.join(name);
        fs::write(&path, bytes).map_err(io(&path))?;
    }
    Ok(digest)
}

/// Writes `image` as one executable. `change` has the last word on what its manifest says.
///
/// # Errors
/// [`BuildError`]; what `change` says.
pub fn executable<E: From<BuildError>>(
    image: &Image,
    name: &str,
    front: &Path,
    to: &Path,
    change: impl FnOnce(&mut App) -> Result<(), E>,
) -> Result<Built, E> {
    let process = &image.config.config;
    let words: Vec<&String> = process.entrypoint.iter().chain(&process.cmd).collect();
    let first = words.first().ok_or(BuildError::NoProgram)?;
    let path = process.env("PATH").unwrap_or_default();
    let workdir = if process.working_dir.is_empty() { "/" } else { &process.working_dir };
    let program = crate::stage::find_program(&image.root, first, path, workdir)
        .ok_or_else(|| BuildError::Instruction(format!("{first}: there is no such program in the image")))?;
    let user = users::find(&image.root, &process.user, false)?;
    let args = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let mut app = App::new(name, program.as_bytes(), args);
    app.flags &= !husk_app::flag::INHERIT_ENV;
    app.env = process.env.iter().map(|entry| entry.as_bytes().to_vec()).collect();
    if process.env("HOME").is_none() {
        app.env.push(format!("HOME={}", user.home).into_bytes());
    }
    app.workdir = workdir.as_bytes().to_vec();
    app.user = (user.uid, user.gid);
    change(&mut app)?;
    let scratch = tempfile::NamedTempFile::new_in(parent(to))
        .map_err(|source| BuildError::Io { path: to.to_path_buf(), source })?;
    image.write_root(scratch.path())?;
    Ok(app::write(&app, front, scratch.path(), to).map_err(BuildError::from)?)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

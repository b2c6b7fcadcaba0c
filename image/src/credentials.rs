//! Credentials for registries, as `podman login` and `docker login` leave them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::source::Options;
use crate::{ImageError, config};

/// What a registry is told.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// A refresh token for the token server.
    IdentityToken(String),
}

#[derive(Deserialize, Default)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The credentials for a repository, if there are any.
pub(crate) fn find(
    registry: &str,
    repository: &str,
    options: &Options,
) -> Result<Option<Credentials>, ImageError> {
    if let Some(text) = &options.credentials {
        let (user, password) =
            text.split_once(':').ok_or_else(|| ImageError::Other("--creds: not USER:PASSWORD".to_owned()))?;
        return Ok(Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() }));
    }
    for path in files(options) {
        let Ok(bytes) = fs::read(&path) else { continue };
        let file: AuthFile = config::parse(&path.display().to_string(), &bytes)?;
        if let Some(found) = in_file(&file, registry, repository)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn files(options: &Options) -> Vec<PathBuf> {
    if let Some(path) = &options.auth_file {
        return vec![path.clone()];
    }
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = folder("HOME");
    let below = |path: &str| home.as_ref().map(|home| home.join(path));
    [
        env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from),
        folder("XDG_RUNTIME_DIR").map(|path| path.join("containers/auth.json")),
        folder("XDG_CONFIG_HOME").map(|path| path.join("containers/auth.json")),
        below(".config/containers/auth.json"),
        folder("DOCKER_CONFIG").map(|path| path.join("config.json")),
        below(".docker/config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The names under which a file may know a repository: the longest first.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let mut path = format!("{registry}/{repository}");
    let mut keys = vec![path.clone()];
    while let Some(slash) = path.rfind('/') {
        path.truncate(slash);
        keys.push(path.clone());
    }
    keys.push(format!("https://{registry}"));
    if registry == "docker.io" {
        keys.extend(["index.docker.io", "https://index.docker.io/v1/"].map(str::to_owned));
    }
    keys
}

fn in_file(file: &AuthFile, registry: &str, repository: &str) -> Result<Option<Credentials>, ImageError> {
    let keys = keys(registry, repository);
    for key in &keys {
        if let Some(helper) = file.helpers.get(key) {
            return ask(helper, key);
        }
        let Some(auth) = file.auths.get(key) else { continue };
        if let Some(token) = auth.identity_token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::IdentityToken(token.clone())));
        }
        if let Some(text) = auth.auth.as_ref().filter(|text| !text.is_empty()) {
            let bad = || {
                ImageError::document(
                    "credentials",
                    format!("what is kept for {key} is damaged: log in again"),
                )
            };
            let bytes = STANDARD.decode(text).map_err(|_| bad())?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            let (user, password) = text.split_once(':').ok_or_else(bad)?;
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Credentials::Password { user: user.to_owned(), password }));
        }
    }
    match &file.store {
        Some(helper) => {
            let key = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
            ask(helper, key)
        }
        None => Ok(None),
    }
}

/// Asks a credential helper; one that knows nothing of the registry fails, and that is no error.
fn ask(helper: &str, key: &str) -> Result<Option<Credentials>, ImageError> {
    if helper.contains('/') {
        return Err(ImageError::document("credentials", format!("{helper:?} is no name of a helper")));
    }
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(ImageError::read(&program))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read has its own reasons, which its exit code tells.
        let _ = writeln!(stdin, "{key}");
    }
    let output = child.wait_with_output().map_err(ImageError::read(&program))?;
    if !output.status.success() {
        return Ok(None);
    }
    let helped: Helped = config::parse(&program, &output.stdout)?;
    Ok(Some(if helped.username == "<token>" {
        Credentials::IdentityToken(helped.secret)
    } else {
        Credentials::Password { user: helped.username, password: helped.secret }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_tools_are_understood() {
        let text = br#"{"auths":{"localhost:5000":{"auth":"dTpwOncA"},"r.io/a":{"identitytoken":"t"},"https://index.docker.io/v1/":{"auth":"YTpi"}}}"#;
        let file: AuthFile = config::parse("x", text).unwrap();
        let password = |user: &str, password: &str| {
            Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() })
        };
        assert!(in_file(&file, "localhost:5000", "x").unwrap() == password("u", "p:w"));
        assert!(in_file(&file, "docker.io", "library/x").unwrap() == password("a", "b"));
        assert!(in_file(&file, "r.io", "a/b").unwrap() == Some(Credentials::IdentityToken("t".to_owned())));
        assert!(in_file(&file, "r.io", "b").unwrap().is_none());
        let bad: AuthFile = config::parse("x", br#"{"auths":{"r.io":{"auth":"*"}}}"#).unwrap();
        assert!(in_file(&bad, "r.io", "b").is_err());
    }
}

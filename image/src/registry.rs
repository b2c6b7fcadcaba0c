//! Registries: the pulling half of the OCI distribution protocol, over HTTPS.
//!
//! Plain HTTP is for loopback, and for registries that the user says need no verification. Blobs that break off go on
//! where they stopped, in this process and in the next.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::config::{self, DOCUMENT_MAX, Document, media};
use crate::credentials::{self, Credentials};
use crate::source::{Advance, Counted, Options, Source};
use crate::store::Session;
use crate::{Descriptor, Digest, ImageError, Reference, Verified};

/// How often something that may pass is tried.
const TRIES: u32 = 5;
/// How often one request asks for a token.
const TOKENS: u32 = 3;
const CONNECT: Duration = Duration::from_secs(10);
const RESPONSE: Duration = Duration::from_secs(30);
/// How long a download may stand still.
const STALL: Duration = Duration::from_secs(30);
/// The longest wait that a registry may ask for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// An image in a registry.
pub struct Remote {
    reference: Reference,
    agent: Agent,
    /// Scheme, host and port.
    base: String,
    credentials: Option<Credentials>,
    /// The value of the Authorization header, once one was asked for.
    authorization: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { registry }
    });
    host == "localhost"
        || host == "[::1]"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host's authorities (SSL_CERT_FILE and SSL_CERT_DIR say others), those of the registry's folder of
/// containers-certs.d(5), and those that were named.
fn certificates(registry: &str, options: &Options) -> Vec<Certificate<'static>> {
    let mut found: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|der| Certificate::from_der(der.as_ref()).to_owned())
        .collect();
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config/containers/certs.d"));
    let folders = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    let folders = folders.into_iter().chain(home).map(|folder| folder.join(registry));
    for folder in folders.chain(options.certificates.clone()) {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                let bytes = fs::read(&path).unwrap_or_default();
                found.extend(ureq::tls::parse_pem(&bytes).filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                }));
            }
        }
    }
    found
}

impl Remote {
    /// Finds the registry of a reference.
    ///
    /// # Errors
    /// [`ImageError::Registry`] where it cannot be reached.
    pub fn new(reference: &Reference, options: &Options) -> Result<Self, ImageError> {
        let registry = reference.registry.as_str();
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates(registry, options))))
            .disable_verification(options.tls_verify == Some(false))
            .build();
        let agent: Agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(RESPONSE))
            .user_agent(concat!("husk/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let mut remote = Self {
            reference: reference.clone(),
            agent,
            base: format!("https://{host}"),
            credentials: credentials::find(registry, &reference.repository, options)?,
            authorization: Mutex::new(None),
        };
        let may_be_plain =
            options.tls_verify == Some(false) || (options.tls_verify.is_none() && is_loopback(registry));
        match remote.agent.get(format!("{}/v2/", remote.base)).call() {
            Ok(_) => {}
            // A certificate that nobody knows is no sign of plain HTTP.
            Err(first) if may_be_plain && !is_about_certificate(&first) => {
                remote.base = format!("http://{host}");
                let second = remote.agent.get(format!("{}/v2/", remote.base)).call();
                second.map_err(|error| remote.failed(format!("{error} (and by HTTPS: {first})")))?;
            }
            Err(error) => {
                let hint = if is_about_certificate(&error) {
                    "; put the authority's certificate into --cert-dir or /etc/containers/certs.d, or trust it unseen by \
                     --tls-verify=false"
                } else {
                    ""
                };
                return Err(remote.failed(format!("{error}{hint}")));
            }
        }
        Ok(remote)
    }

    fn failed(&self, why: impl ToString) -> ImageError {
        ImageError::Registry { registry: self.reference.registry.clone(), why: why.to_string() }
    }

    /// Sends a request, with what the registry asks of who sends it. Tries again what may pass.
    fn get(&self, path: &str, accept: &str, from: u64) -> Result<Response<Body>, ImageError> {
        let url = format!("{}/v2/{}/{path}", self.base, self.reference.repository);
        let mut asked = 0;
        let mut tried = 0;
        loop {
            let mut request = self.agent.get(&url).header("Accept", accept);
            if let Some(value) = self.authorization.lock().ok().and_then(|value| value.clone()) {
                request = request.header("Authorization", value);
            }
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let mut asked_wait = None;
            let why = match request.call() {
                Ok(response) => match response.status().as_u16() {
                    200 | 206 => return Ok(response),
                    // Again, too: while this one asked, others may have used up what it got.
                    401 if asked < TOKENS => {
                        asked += 1;
                        self.authorize(&response)?;
                        continue;
                    }
                    status => {
                        asked_wait = retry_after(&response);
                        let text = explain(response);
                        let why = match status {
                            401 | 403 if self.credentials.is_none() => {
                                format!(
                                    "access denied, or no such repository: log in with `podman login` or `docker login`{text}"
                                )
                            }
                            401 | 403 => format!("the credentials are not accepted{text}"),
                            404 => format!("{path}: not found{text}"),
                            429 => format!(
                                "{path}: too many requests: its limit is reached, try again later{text}"
                            ),
                            _ => format!("{path}: status {status}{text}"),
                        };
                        if status != 429 && status < 500 {
                            return Err(self.failed(why));
                        }
                        why
                    }
                },
                Err(error) => error.to_string(),
            };
            tried += 1;
            if tried == TRIES {
                return Err(self.failed(why));
            }
            pause(tried, asked_wait);
        }
    }

    /// Does what a 401 asks for.
    fn authorize(&self, response: &Response<Body>) -> Result<(), ImageError> {
        let challenges = response.headers().get_all("WWW-Authenticate").iter();
        let challenges: Vec<&str> = challenges.filter_map(|value| value.to_str().ok()).collect();
        let of = |scheme: &str| {
            let prefix_is = |text: &&&str| {
                text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            };
            challenges.iter().find(prefix_is).map(|text| &text[scheme.len()..])
        };
        let basic =
            |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let value = if let Some(parameters) = of("Bearer ") {
            let parameter =
                |name: &str| parameters_of(parameters).find(|(key, _)| *key == name).map(|(_, value)| value);
            let realm = parameter("realm").ok_or_else(|| self.failed("it asks for a token of nobody"))?;
            if !realm.starts_with("https://") && !self.base.starts_with("http://") {
                return Err(self.failed(format!("its token server {realm} is not reached by HTTPS")));
            }
            let service = parameter("service").unwrap_or_default();
            let scope = parameter("scope")
                .unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
            let response = match &self.credentials {
                Some(Credentials::IdentityToken(token)) => self.agent.post(&realm).send_form([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token.as_str()),
                    ("service", service.as_str()),
                    ("scope", scope.as_str()),
                    ("client_id", "husk"),
                ]),
                other => {
                    let mut request =
                        self.agent.get(&realm).query("service", &service).query("scope", &scope);
                    if let Some(Credentials::Password { user, password }) = other {
                        request =
                            request.header("Authorization", basic(user, password)).query("account", user);
                    }
                    request.call()
                }
            };
            let mut response =
                response.map_err(|error| self.failed(format!("token server {realm}: {error}")))?;
            let status = response.status();
            if !status.is_success() {
                let text = explain(response);
                let why = match status.as_u16() {
                    401 | 403 if self.credentials.is_none() => {
                        ": access denied: log in with `podman login` or `docker login`"
                    }
                    401 | 403 => ": the credentials are not accepted",
                    _ => "",
                };
                return Err(self.failed(format!("token server {realm}: status {status}{why}{text}")));
            }
            let bytes = response.body_mut().with_config().limit(1 << 20).read_to_vec();
            let bytes = bytes.map_err(|error| self.failed(format!("token server {realm}: {error}")))?;
            let token: Token = config::parse("token", &bytes)?;
            let token = token.token.or(token.access_token);
            format!("Bearer {}", token.ok_or_else(|| self.failed("its token server gives no token"))?)
        } else if of("Basic ").is_some() {
            match &self.credentials {
                Some(Credentials::Password { user, password }) => basic(user, password),
                _ => {
                    return Err(self.failed(
                        "it wants a user and a password: log in with `podman login` or `docker login`",
                    ));
                }
            }
        } else {
            return Err(self.failed("it wants a kind of authentication that is not known"));
        };
        if let Ok(mut authorization) = self.authorization.lock() {
            *authorization = Some(value);
        }
        Ok(())
    }

    /// A manifest or index, checked where its digest is known.
    fn document(&self, name: &str, digest: Option<&Digest>) -> Result<Vec<u8>, ImageError> {
        let accept = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_INDEX].join(", ");
        let mut response = self.get(&format!("manifests/{name}"), &accept, 0)?;
        let bytes = response.body_mut().with_config().limit(DOCUMENT_MAX).read_to_vec();
        let bytes = bytes.map_err(|error| self.failed(format!("manifest {name}: {error}")))?;
        let found = Digest::of(&bytes);
        match digest {
            Some(expected) if *expected != found => Err(ImageError::WrongDigest {
                what: format!("{}: manifest", self.name()),
                expected: expected.to_string(),
                found: found.to_string(),
            }),
            _ => Ok(bytes),
        }
    }
}

fn is_about_certificate(error: &ureq::Error) -> bool {
    error.to_string().contains("ertificate")
}

/// Waits before the next try: as long as the registry asked for, or longer from try to try.
fn pause(tried: u32, asked: Option<Duration>) {
    std::thread::sleep(asked.unwrap_or(Duration::from_millis(250 << tried.min(6))));
}

/// The seconds of a Retry-After; a date there, which no registry sends, counts as none.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("Retry-After")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// What a registry says of an error.
fn explain(mut response: Response<Body>) -> String {
    let bytes = response.body_mut().with_config().limit(64 << 10).read_to_vec().unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = value["errors"][0]["message"].as_str().unwrap_or_default();
    let message: String = message.chars().filter(|letter| !letter.is_control()).take(200).collect();
    if message.is_empty() { message } else { format!(" ({message})") }
}

/// `name="value"` pairs.
fn parameters_of(text: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_matches([' ', ',']);
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        rest = next;
        Some((name, value.to_owned()))
    })
}

impl Source for Remote {
    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn reference(&self) -> Option<Reference> {
        Some(self.reference.clone())
    }

    fn manifest(&self) -> Result<Vec<u8>, ImageError> {
        let mut digest = self.reference.digest.clone();
        let mut name = digest.as_ref().map_or_else(|| self.reference.tag.clone(), Digest::to_string);
        for _ in 0..3 {
            let bytes = self.document(&name, digest.as_ref())?;
            match Document::parse(&self.name(), &bytes)? {
                Document::Manifest(_) => return Ok(bytes),
                Document::Index(index) => {
                    let chosen = index.choose(&self.name())?.digest.clone();
                    name = chosen.to_string();
                    digest = Some(chosen);
                }
            }
        }
        Err(ImageError::document(&self.name(), "indexes in indexes in indexes"))
    }

    fn blob<'a>(
        &'a self,
        session: &'a Session,
        descriptor: &'a Descriptor,
        advance: Advance<'a>,
    ) -> Result<Box<dyn Read + Send + 'a>, ImageError> {
        let what = format!("{}: blob {}", self.name(), descriptor.digest);
        let path = session.store().partial(&descriptor.digest);
        let download = Download::new(self, descriptor, path.clone())?;
        let counted = Counted { inner: download, advance };
        let verified = Verified::new(&what, counted, descriptor.size, &descriptor.digest);
        Ok(Box::new(Checked { inner: verified, path }))
    }
}

/// Forgets a download whose bytes are wrong, so that the next try does not begin with them.
struct Checked<R> {
    inner: R,
    path: PathBuf,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer);
        if let Err(error) = &count
            && let Some(ImageError::WrongDigest { .. } | ImageError::WrongSize { .. }) =
                error.get_ref().and_then(|error| error.downcast_ref())
        {
            // There may be none.
            let _ = fs::remove_file(&self.path);
        }
        count
    }
}

/// A blob: first what an earlier try left, then the registry's bytes, which are kept for a later one.
struct Download<'a> {
    remote: &'a Remote,
    descriptor: &'a Descriptor,
    /// `None` where another process has it.
    kept: Option<File>,
    /// Bytes of it that are still to be passed on.
    old: u64,
    at: u64,
    body: Option<Box<dyn Read + Send + 'a>>,
    tried: u32,
}

impl<'a> Download<'a> {
    fn new(remote: &'a Remote, descriptor: &'a Descriptor, path: PathBuf) -> Result<Self, ImageError> {
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(ImageError::io(&path))?;
        let kept = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file);
        let old = kept.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |stat| stat.len());
        if let Some(mut file) = kept.as_ref() {
            file.seek(SeekFrom::Start(0)).map_err(ImageError::io(&path))?;
        }
        Ok(Self { remote, descriptor, kept, old, at: 0, body: None, tried: 0 })
    }

    fn connect(&self) -> Result<Box<dyn Read + Send + 'a>, ImageError> {
        let path = format!("blobs/{}", self.descriptor.digest);
        let response = self.remote.get(&path, "*/*", self.at)?;
        let is_partial = response.status().as_u16() == 206;
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut reader = Attended::new(reader, STALL);
        if self.at > 0 && !is_partial {
            // The registry does not do parts.
            let skipped = io::copy(&mut reader.by_ref().take(self.at), &mut io::sink());
            skipped.map_err(ImageError::read(&path))?;
        }
        Ok(Box::new(reader))
    }
}

/// A reader that fails where nothing comes for a time. What reads is a thread of its own, since a socket's own time limit
/// is for the whole of a body; where it stalls it is left alone and ends with its connection.
struct Attended {
    pieces: Receiver<io::Result<Vec<u8>>>,
    now: io::Cursor<Vec<u8>>,
    patience: Duration,
}

impl Attended {
    /// Bytes of a piece, and pieces that are read ahead.
    const PIECE: usize = 128 << 10;
    const AHEAD: usize = 4;

    fn new(mut inner: impl Read + Send + 'static, patience: Duration) -> Self {
        let (sender, pieces) = sync_channel(Self::AHEAD);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; Self::PIECE];
                let result = inner.read(&mut piece).map(|count| {
                    piece.truncate(count);
                    piece
                });
                let is_last = result.as_ref().map_or(true, Vec::is_empty);
                if sender.send(result).is_err() || is_last {
                    return;
                }
            }
        });
        Self { pieces, now: io::Cursor::default(), patience }
    }
}

impl Read for Attended {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.now.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        match self.pieces.recv_timeout(self.patience) {
            Ok(piece) => {
                self.now = io::Cursor::new(piece?);
                self.now.read(buffer)
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long"))
            }
            // The end was told before.
            Err(RecvTimeoutError::Disconnected) => Ok(0),
        }
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.old > 0
            && let Some(file) = &mut self.kept
        {
            let room = buffer.len().min(usize::try_from(self.old).unwrap_or(usize::MAX));
            let count = file.read(&mut buffer[..room])?;
            self.old = if count == 0 { 0 } else { self.old - count as u64 };
            self.at += count as u64;
            if count > 0 {
                return Ok(count);
            }
        }
        if self.at >= self.descriptor.size {
            return Ok(0);
        }
        loop {
            if self.tried >= TRIES {
                // Whoever reads on after the error gets no further tries.
                return Err(io::ErrorKind::NotConnected.into());
            }
            if self.body.is_none() {
                self.body = Some(self.connect()?);
            }
            let body = self.body.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let room =
                buffer.len().min(usize::try_from(self.descriptor.size - self.at).unwrap_or(usize::MAX));
            let why = match body.read(&mut buffer[..room]) {
                Ok(0) => "the connection ended too early".to_owned(),
                Ok(count) => {
                    if let Some(file) = &mut self.kept {
                        file.write_all(&buffer[..count])?;
                    }
                    self.at += count as u64;
                    self.tried = 0;
                    return Ok(count);
                }
                Err(error) => error.to_string(),
            };
            self.body = None;
            self.tried += 1;
            if self.tried == TRIES {
                let digest = &self.descriptor.digest;
                return Err(self
                    .remote
                    .failed(format!("blob {digest}: {why}; the next pull goes on from there"))
                    .into());
            }
            pause(self.tried, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text = r#"realm="https://a/t?x=1,2",service="s p",scope="repository:a/b:pull,push",error=x"#;
        let all: Vec<_> = parameters_of(text).collect();
        let pair = |name, value: &str| (name, value.to_owned());
        assert_eq!(
            all,
            [
                pair("realm", "https://a/t?x=1,2"),
                pair("service", "s p"),
                pair("scope", "repository:a/b:pull,push"),
                pair("error", "x")
            ]
        );
        assert_eq!(parameters_of("").count(), 0);
        assert_eq!(parameters_of(r#"a="b"#).count(), 0);
    }

    #[test]
    fn what_stands_still_is_given_up() {
        /// A few bytes, and then silence until the test has ended.
        struct Silent(bool);
        impl Read for Silent {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    std::thread::sleep(Duration::from_secs(3600));
                }
                buffer[..3].copy_from_slice(b"abc");
                Ok(3)
            }
        }
        let mut all = Vec::new();
        let error =
            Attended::new(Silent(false), Duration::from_millis(50)).read_to_end(&mut all).unwrap_err();
        assert_eq!((all.as_slice(), error.kind()), (&b"abc"[..], io::ErrorKind::TimedOut));
        let text = vec![7; 3 * Attended::PIECE + 1];
        let mut all = Vec::new();
        Attended::new(io::Cursor::new(text.clone()), STALL).read_to_end(&mut all).unwrap();
        assert!(all == text);
    }

    #[test]
    fn loopback_is_told_by_the_host() {
        for (host, is) in [
            ("localhost:5000", true),
            ("localhost", true),
            ("127.0.0.1:5000", true),
            ("127.3.2.1", true),
            ("[::1]:5000", true),
            ("localhost.evil.org", false),
            ("127.0.0.1.evil.org:80", false),
            ("docker.io", false),
        ] {
            assert_eq!(is_loopback(host), is, "{host}");
        }
    }
}

//! Pulling: against a registry of this file's own, which breaks off, limits and lies as told, and against Debian's
//! docker-registry with passwords and an own certificate authority.

mod common;

use common::{Bench, in_path, text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What came in.
struct Request {
    path: String,
    headers: HashMap<String, String>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Where its Range begins.
    fn from(&self) -> usize {
        let range = self.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        range.map_or(0, |from| from.parse().unwrap())
    }
}

/// What goes out.
#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    cut: Option<usize>,
}

fn reply(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

/// A registry of one image, in plain HTTP. It lives as long as the test's process.
struct Server {
    address: SocketAddr,
    /// Paths, each with the Range that was asked for.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (answer.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Self { address, seen }
    }

    fn name(&self) -> String {
        format!("{}/it", self.address)
    }

    /// The requests of a path that ends so.
    fn seen(&self, end: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.split(' ').next().unwrap().ends_with(end)).cloned().collect()
    }
}

/// One request, one connection. What a TLS client sends first is no request.
fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Reply, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let request = Request { path, headers };
    log.lock().unwrap().push(format!("{} {}", request.path, request.header("range")));
    let reply = answer(&request);
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())]).ok()
}

/// An image as a registry has it.
#[derive(Clone)]
struct Image {
    manifest: Vec<u8>,
    blobs: HashMap<String, Vec<u8>>,
    layers: Vec<String>,
}

impl Image {
    /// Of `count` layers that do not compress.
    fn new(bench: &Bench, count: usize) -> Self {
        fs::create_dir(bench.path("context")).unwrap();
        let mut containerfile = "FROM scratch\nCMD [\"/none\"]\n".to_owned();
        let mut state = 88_172_645_463_325_252_u64;
        for number in 0..count {
            let noise = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            };
            let bytes: Vec<u8> = (0..1_000_000).map(noise).collect();
            fs::write(bench.path(&format!("context/{number}")), bytes).unwrap();
            containerfile += &format!("COPY {number} /\n");
        }
        fs::write(bench.path("context/Containerfile"), containerfile).unwrap();
        let maker = |arguments: &[&str]| {
            let output = bench.husk(arguments).env("XDG_DATA_HOME", bench.path("maker")).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        };
        maker(&["build", "-t", "it", "context"]);
        maker(&["save", "it", "-o", "oci:layout:latest"]);
        let folder = bench.path("layout/blobs/sha256");
        let blobs: HashMap<String, Vec<u8>> = fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|entry| (format!("sha256:{}", entry.file_name().display()), fs::read(entry.path()).unwrap()))
            .collect();
        let index: Value =
            serde_json::from_slice(&fs::read(bench.path("layout/index.json")).unwrap()).unwrap();
        let manifest = blobs[index["manifests"][0]["digest"].as_str().unwrap()].clone();
        let value: Value = serde_json::from_slice(&manifest).unwrap();
        let layers = value["layers"].as_array().unwrap();
        let layers = layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect();
        Self { manifest, blobs, layers }
    }

    /// As a registry without faults answers.
    fn answer(&self, request: &Request) -> Reply {
        let name = request.path.rsplit('/').next().unwrap();
        if request.path == "/v2/" {
            return reply(200);
        }
        if request.path.contains("/manifests/") {
            return Reply { body: self.manifest.clone(), ..reply(200) };
        }
        match self.blobs.get(name) {
            Some(blob) if request.from() > 0 => Reply { body: blob[request.from()..].to_vec(), ..reply(206) },
            Some(blob) => Reply { body: blob.clone(), ..reply(200) },
            None => reply(404),
        }
    }
}

impl Bench {
    fn pull(&self, arguments: &[&str]) -> Output {
        let mut command = self.husk(&[&["pull"], arguments].concat());
        command.env("XDG_DATA_HOME", self.path("data")).env("HOME", self.path("home"));
        command.env_remove("REGISTRY_AUTH_FILE").env_remove("DOCKER_CONFIG").env_remove("XDG_RUNTIME_DIR");
        command.output().unwrap()
    }

    fn pulls(&self, arguments: &[&str]) {
        let output = self.pull(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    fn refuses(&self, arguments: &[&str], says: &[&str]) {
        let output = self.pull(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{error}");
        for phrase in says {
            assert!(error.contains(phrase), "does not say {phrase:?}: {error}");
        }
    }
}

#[test]
fn what_breaks_off_goes_on_where_it_stopped() {
    let Some(bench) = Bench::new() else { return };
    let image = Image::new(&bench, 1);
    let layer = image.layers[0].clone();
    let size = image.blobs[&layer].len();
    // Two connections break; the third brings the rest.
    let broken = Server::start({
        let (image, layer) = (image.clone(), layer.clone());
        let left = Mutex::new(2);
        move |request| {
            let mut reply = image.answer(request);
            let mut left = left.lock().unwrap();
            if request.path.ends_with(&layer) && *left > 0 {
                *left -= 1;
                reply.cut = Some(200_000);
            }
            reply
        }
    });
    bench.pulls(&[&broken.name()]);
    let asked = broken.seen(&layer);
    let froms: Vec<&str> = asked.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(froms, ["", "bytes=200000-", "bytes=400000-"]);

    // The registry is gone in the midst; the next pull, of another process, asks for the rest only.
    fs::remove_dir_all(bench.path("data")).unwrap();
    let dying = Server::start({
        let (image, layer) = (image.clone(), layer.clone());
        move |request| {
            let mut reply = image.answer(request);
            if request.path.ends_with(&layer) {
                reply.cut = Some(if request.from() == 0 { 300_000 } else { 0 });
            }
            reply
        }
    });
    bench.refuses(&[&dying.name()], &["the next pull goes on from there"]);
    let well = Server::start({
        let image = image.clone();
        move |request| image.answer(request)
    });
    bench.pulls(&[&well.name()]);
    assert_eq!(well.seen(&layer), [format!("/v2/it/blobs/{layer} bytes=300000-")]);
    assert!(size > 900_000);

    // One that knows no Range sends all again, and one whose blob is another's from some byte on is found out; the next
    // try does not begin with the wrong bytes.
    fs::remove_dir_all(bench.path("data")).unwrap();
    bench.refuses(&[&dying.name()], &[]);
    let lying = Server::start({
        let (image, layer) = (image.clone(), layer.clone());
        move |request| {
            let mut reply = image.answer(request);
            if request.path.ends_with(&layer) {
                let last = reply.body.len() - 1;
                reply.body[last] ^= 1;
            }
            reply
        }
    });
    bench.refuses(&[&lying.name()], &["digest"]);
    let simple = Server::start({
        let (image, layer) = (image.clone(), layer.clone());
        let left = Mutex::new(1);
        move |request| {
            let whole = Request { path: request.path.clone(), headers: HashMap::new() };
            let mut reply = image.answer(&whole);
            let mut left = left.lock().unwrap();
            if request.path.ends_with(&layer) && *left > 0 {
                *left -= 1;
                reply.cut = Some(500_000);
            }
            reply
        }
    });
    bench.pulls(&[&simple.name()]);
    assert_eq!(simple.seen(&layer).len(), 2);
}

#[test]
fn layers_are_fetched_at_once() {
    let Some(bench) = Bench::new() else { return };
    let image = Image::new(&bench, 3);
    let layers = image.layers.clone();
    assert_eq!(layers.len(), 3);
    // No layer is sent before two were asked for.
    let asked = (Mutex::new(0), Condvar::new());
    let server = Server::start(move |request| {
        if layers.iter().any(|layer| request.path.ends_with(layer)) {
            let mut count = asked.0.lock().unwrap();
            *count += 1;
            asked.1.notify_all();
            let (_count, waited) =
                asked.1.wait_timeout_while(count, Duration::from_secs(60), |count| *count < 2).unwrap();
            if waited.timed_out() {
                return reply(404);
            }
        }
        image.answer(request)
    });
    bench.pulls(&[&server.name()]);
}

#[test]
fn tokens_are_asked_for_and_renewed() {
    let Some(bench) = Bench::new() else { return };
    let image = Image::new(&bench, 2);
    // How many requests each token still serves.
    let issued = Mutex::new(Vec::<u32>::new());
    let address = Arc::new(Mutex::new(None::<SocketAddr>));
    let own = address.clone();
    let server = Server::start(move |request| {
        let mut issued = issued.lock().unwrap();
        if let Some(query) = request.path.strip_prefix("/token?") {
            // dXNlcjpwYXNz is user:pass.
            let is_known = request.header("authorization") == "Basic dXNlcjpwYXNz";
            let is_asked = query.contains("service=here") && query.contains("repository%3Ait%3Apull");
            if !is_known || !is_asked {
                return Reply { body: br#"{"errors":[{"message":"who are you"}]}"#.to_vec(), ..reply(401) };
            }
            issued.push(2);
            let token = json!({"token": format!("t{}", issued.len() - 1)});
            return Reply { body: token.to_string().into_bytes(), ..reply(200) };
        }
        let token = request.header("authorization").strip_prefix("Bearer t");
        let number = token.and_then(|number| number.parse::<usize>().ok());
        let left = number.and_then(|number| issued.get_mut(number)).filter(|left| **left > 0);
        let Some(left) = left else {
            let realm = format!(
                "Bearer realm=\"http://{}/token\",service=\"here\",scope=\"repository:it:pull\"",
                own.lock().unwrap().unwrap()
            );
            return Reply { headers: vec![("WWW-Authenticate", realm)], ..reply(401) };
        };
        *left -= 1;
        image.answer(request)
    });
    *address.lock().unwrap() = Some(server.address);
    bench.refuses(&[&server.name()], &["log in with", "who are you"]);
    bench.refuses(&["--creds", "user:wrong", &server.name()], &["the credentials are not accepted"]);
    bench.refuses(&["--creds", "user", &server.name()], &["USER:PASSWORD"]);
    bench.pulls(&["--creds", "user:pass", &server.name()]);
    assert!(server.seen.lock().unwrap().iter().filter(|line| line.starts_with("/token")).count() >= 4);
}

#[test]
fn errors_say_what_is_wrong() {
    let Some(bench) = Bench::new() else { return };
    let image = Image::new(&bench, 1);
    let fails = |answer: Reply, says: &[&str]| {
        let answer = Mutex::new(Some(answer));
        let server = Server::start(move |request| match request.path.as_str() {
            "/v2/" => reply(200),
            _ => answer.lock().unwrap().take().unwrap_or_else(|| reply(404)),
        });
        bench.refuses(&[&server.name()], says);
    };
    let message = br#"{"errors":[{"code":"X","message":"no\u001b such thing"}]}"#;
    fails(
        Reply { body: message.to_vec(), ..reply(404) },
        &["manifests/latest: not found", "(no such thing)"],
    );
    fails(reply(403), &["access denied", "log in"]);
    fails(reply(401), &["authentication that is not known"]);
    fails(Reply { body: b"<html>".to_vec(), ..reply(200) }, &["it", "expected value"]);
    fails(reply(418), &["status 418"]);
    let index = json!({"schemaVersion": 2, "manifests": [
        {"digest": image.layers[0], "size": 3, "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": image.layers[0], "size": 3, "platform": {"os": "windows", "architecture": "amd64"}},
    ]});
    fails(Reply { body: index.to_string().into_bytes(), ..reply(200) }, &["linux/arm64", "windows/amd64"]);

    // What may pass is tried again, and after the wait that is asked for.
    let faults = Mutex::new(vec![429, 503, 429]);
    let server = Server::start({
        let image = image.clone();
        move |request| match faults.lock().unwrap().pop() {
            Some(status) if request.path != "/v2/" => {
                Reply { headers: vec![("Retry-After", "0".to_owned())], ..reply(status) }
            }
            _ => image.answer(request),
        }
    });
    bench.pulls(&[&server.name()]);
    let limited = Server::start(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        _ => Reply { headers: vec![("Retry-After", "0".to_owned())], ..reply(429) },
    });
    bench.refuses(&[&limited.name()], &["too many requests"]);
    let digest = format!("sha256:{}", "a".repeat(64));
    bench.refuses(&[&format!("{}@{digest}", server.name())], &["manifest", "digest", &digest]);
    // Nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.refuses(&[&format!("{free}/it")], &["refused"]);
    bench.refuses(&["--platform", "linux/arm64", &server.name()], &["linux/arm64", "linux/amd64"]);
    bench.pulls(&["--platform", "linux/amd64", &server.name()]);
}

/// Debian's registry with users and TLS; ends with the test.
struct Registry {
    child: Child,
    name: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tool(bench: &Bench, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(bench.folder.path()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
}

impl Registry {
    fn start(bench: &Bench) -> Self {
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        tool(
            bench,
            "openssl",
            &[
                &["req", "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=own authority"],
                &key[..],
            ]
            .concat(),
        );
        tool(
            bench,
            "openssl",
            &[&["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"], &key[..5]]
                .concat(),
        );
        fs::write(bench.path("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        tool(
            bench,
            "openssl",
            &[
                "x509",
                "-req",
                "-in",
                "server.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "names",
                "-out",
                "server.crt",
            ],
        );
        tool(bench, "htpasswd", &["-Bbc", "users", "user", "pass:word"]);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: blobs}}}}\n\
             http: {{addr: '{address}', tls: {{certificate: server.crt, key: server.key}}}}\n\
             auth: {{htpasswd: {{realm: here, path: users}}}}\n"
        );
        fs::write(bench.path("registry.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve", "registry.yml"])
            .current_dir(bench.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { child, name: format!("localhost:{}", address.port()) };
        for _ in 0..3000 {
            if TcpStream::connect(address).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("docker-registry does not listen");
    }
}

fn put(path: &Path, contents: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

#[test]
fn a_registry_with_passwords_and_an_own_authority() {
    let Some(bench) = Bench::new() else { return };
    for program in ["docker-registry", "skopeo", "openssl", "htpasswd"] {
        if !in_path(program) {
            eprintln!("skipped: there is no {program}");
            return;
        }
    }
    Image::new(&bench, 1);
    let registry = Registry::start(&bench);
    let image = format!("{}/some/it", registry.name);
    tool(
        &bench,
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "-q",
            "--dest-tls-verify=false",
            "--dest-creds",
            "user:pass:word",
            "oci:layout:latest",
            &format!("docker://{image}"),
        ],
    );

    // Loopback may be plain or unknown unless it is said that it may not.
    bench.refuses(&["--tls-verify", &image], &["ertificate", "--cert-dir", "--tls-verify=false"]);
    fs::create_dir(bench.path("certificates")).unwrap();
    fs::copy(bench.path("ca.crt"), bench.path("certificates/own.crt")).unwrap();
    let known = ["--tls-verify", "--cert-dir", "certificates"];
    let with = |arguments: &[&str]| bench.pull(&[&known[..], arguments].concat());
    bench.refuses(&[known[0], known[1], known[2], &image], &["log in"]);
    bench.refuses(
        &[known[0], known[1], known[2], "--creds", "user:no", &image],
        &["credentials are not accepted"],
    );
    let check = |output: Output, what: &str| {
        assert!(output.status.success(), "{what}: {}", text(&output.stderr));
        fs::remove_dir_all(bench.path("data")).unwrap();
    };
    check(with(&["--creds", "user:pass:word", &image]), "--creds");
    check(bench.pull(&["--tls-verify=false", "--creds", "user:pass:word", &image]), "--tls-verify=false");

    // dXNlcjpwYXNzOndvcmQ= is user:pass:word.
    let auths = json!({"auths": {&registry.name: {"auth": "dXNlcjpwYXNzOndvcmQ="}}}).to_string();
    put(&bench.path("auth.json"), &auths);
    check(with(&["--authfile", "auth.json", &image]), "--authfile");
    let variable = |name: &str, value: PathBuf| {
        let mut command = bench.husk(&[&["pull"], &known[..], &[&image]].concat());
        command.env("XDG_DATA_HOME", bench.path("data")).env("HOME", bench.path("home")).env(name, value);
        check(command.output().unwrap(), name);
    };
    variable("REGISTRY_AUTH_FILE", bench.path("auth.json"));
    put(&bench.path("docker/config.json"), &auths);
    variable("DOCKER_CONFIG", bench.path("docker"));
    put(&bench.path("home/.config/containers/auth.json"), &auths);
    check(with(&[&image]), "~/.config/containers/auth.json");
    fs::remove_dir_all(bench.path("home")).unwrap();

    // A helper knows the password; the authority is in the user's certs.d.
    let helper = "#!/bin/sh\n[ \"$1\" = get ] && read -r server && echo \"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"user\\\",\\\"Secret\\\":\\\"pass:word\\\"}\"\n";
    put(&bench.path("bin/docker-credential-known"), helper);
    tool(&bench, "chmod", &["755", "bin/docker-credential-known"]);
    for config in [json!({"credHelpers": {&registry.name: "known"}}), json!({"credsStore": "known"})] {
        put(&bench.path("home/.docker/config.json"), &config.to_string());
        put(
            &bench.path(&format!("home/.config/containers/certs.d/{}/ca.crt", registry.name)),
            &fs::read_to_string(bench.path("ca.crt")).unwrap(),
        );
        let path = std::env::join_paths([bench.path("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        let mut command = bench.husk(&["pull", "--tls-verify", &image]);
        command.env("XDG_DATA_HOME", bench.path("data")).env("HOME", bench.path("home")).env("PATH", path);
        check(command.output().unwrap(), "helper");
    }
    fs::remove_dir_all(bench.path("home")).unwrap();

    // The host's authorities as SSL_CERT_FILE names them.
    let mut command = bench.husk(&["pull", "--tls-verify", "--authfile", "auth.json", &image]);
    command
        .env("XDG_DATA_HOME", bench.path("data"))
        .env("HOME", bench.path("home"))
        .env("SSL_CERT_FILE", bench.path("ca.crt"));
    check(command.output().unwrap(), "SSL_CERT_FILE");

    // Wherever an image is fetched by the way.
    fs::create_dir(bench.path("derived")).unwrap();
    fs::write(bench.path("derived/Containerfile"), format!("FROM {image}\nLABEL a=b\n")).unwrap();
    let run = ["run", "--tls-verify", "--cert-dir", "certificates"];
    let build = ["build", "--tls-verify=true", "--cert-dir", "certificates"];
    for (fetch, rest, code) in [(run, [&image, "/none"], 127), (build, ["-t=new", "derived"], 0)] {
        for (options, says) in [
            (&[][..], Some("log in")),
            (&["--creds=user:no"], Some("credentials are not accepted")),
            (&["--creds", "user:pass:word"], None),
            (&["--authfile", "auth.json"], None),
        ] {
            let output = bench.husk(&[&fetch[..], options, &rest].concat()).output().unwrap();
            let said = text(&output.stderr);
            match says {
                Some(says) => assert!(!output.status.success() && said.contains(says), "{output:?}"),
                None => check_code(&output, code, &bench),
            }
        }
    }
    let output = bench.husk(&["run", "--tls-verify=maybe", &image]).output().unwrap();
    assert!(text(&output.stderr).contains("--tls-verify=maybe: the value is not understood"));
}

/// The image came: how its run or its build ended. The next one fetches anew.
fn check_code(output: &Output, code: i32, bench: &Bench) {
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    fs::remove_dir_all(bench.path("data")).unwrap();
}

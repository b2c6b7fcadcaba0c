//! Works off a Containerfile, stage by stage and instruction by instruction.

use crate::copy::{self, Copy};
use crate::expand::{pairs, word};
use crate::fs::Fs;
use crate::ignore::Ignore;
use crate::layer::{Layer, Writer};
use crate::{BuildError, Built, Request, users};
use husk_host::guest::{Run, Stdin};
use husk_image::config::{Config, History, Process, RootFs};
use husk_image::{Session, Silent, source};
use parse_dockerfile::{
    Command, Dockerfile, Flag, HealthcheckArguments, HereDoc, Instruction, JsonOrStringArray, Source, Span,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What every program is given where the image says nothing.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Build arguments that need no ARG.
const PREDEFINED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// What is known of the platform, for FROM and, where an ARG asks for it, in a stage.
const PLATFORM: [(&str, &str); 8] = [
    ("TARGETPLATFORM", "linux/amd64"),
    ("TARGETOS", "linux"),
    ("TARGETARCH", "amd64"),
    ("TARGETVARIANT", ""),
    ("BUILDPLATFORM", "linux/amd64"),
    ("BUILDOS", "linux"),
    ("BUILDARCH", "amd64"),
    ("BUILDVARIANT", ""),
];

/// One stage while it is built.
#[derive(Clone)]
struct State {
    fs: Fs,
    layers: Vec<Layer>,
    config: Config,
    /// Digest of all that led here.
    key: [u8; 32],
    /// Build arguments that the stage has declared.
    args: BTreeMap<String, String>,
}

/// Everything of one build.
struct Build<'r> {
    request: &'r Request,
    file: Dockerfile<'r>,
    escape: char,
    context: OnceCell<Fs>,
    /// Values of ARGs before the first FROM.
    global: BTreeMap<String, String>,
    done: BTreeMap<usize, State>,
    scratch: tempfile::TempDir,
    /// While it lives nothing of the store is swept.
    session: Session,
}

/// A part of the file between FROMs.
struct Part {
    name: Option<String>,
    /// Indices of its instructions, FROM first.
    instructions: std::ops::Range<usize>,
}

/// Builds what `request` asks for.
///
/// # Errors
/// [`BuildError`], with the line where an instruction fails.
pub fn build(request: &Request) -> Result<Built, BuildError> {
    let syntax = |what: String| BuildError::Syntax { path: request.containerfile.clone(), what };
    let file = parse_dockerfile::parse(&request.text).map_err(|error| syntax(error.to_string()))?;
    let escape = file.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| BuildError::Io { path, source }
    };
    fs::create_dir_all(&request.cache).map_err(io(&request.cache))?;
    let scratch = tempfile::tempdir_in(&request.cache).map_err(io(&request.cache))?;
    let mut build = Build {
        request,
        escape,
        file,
        context: OnceCell::new(),
        global: BTreeMap::new(),
        done: BTreeMap::new(),
        scratch,
        session: request.store.session()?,
    };
    let parts = build.parts()?;
    let target = match &request.target {
        None => parts.len() - 1,
        Some(target) => {
            let named = parts.iter().position(|part| part.name.as_deref() == Some(&target.to_lowercase()));
            let numbered = target.parse().ok().filter(|index| *index < parts.len());
            named.or(numbered).ok_or_else(|| BuildError::NoTarget(target.clone()))?
        }
    };
    let needed = build.needed(&parts, target)?;
    for index in needed {
        let state = build.stage(&parts, index)?;
        build.done.insert(index, state);
    }
    let mut state = build.done.remove(&target).ok_or_else(|| BuildError::NoTarget(target.to_string()))?;
    for (name, value) in &request.labels {
        state.config.config.labels.insert(name.clone(), value.clone());
    }
    state.config.created = Some(build.now());
    for (name, _) in request.args.iter().filter(|(name, _)| !build.is_declared(name)) {
        eprintln!("husk: build: note: --build-arg {name}: no ARG asks for it");
    }
    for layer in &state.layers {
        state.config.rootfs.diff_ids.push(layer.stored(&build.session)?);
    }
    let image = build.session.commit(&state.config, &request.names)?;
    Ok(Built { image, root: state.fs })
}

fn span(instruction: &Instruction<'_>) -> Span {
    match instruction {
        Instruction::Add(it) => &it.add,
        Instruction::Arg(it) => &it.arg,
        Instruction::Cmd(it) => &it.cmd,
        Instruction::Copy(it) => &it.copy,
        Instruction::Entrypoint(it) => &it.entrypoint,
        Instruction::Env(it) => &it.env,
        Instruction::Expose(it) => &it.expose,
        Instruction::From(it) => &it.from,
        Instruction::Healthcheck(it) => &it.healthcheck,
        Instruction::Label(it) => &it.label,
        Instruction::Maintainer(it) => &it.maintainer,
        Instruction::Onbuild(it) => &it.onbuild,
        Instruction::Run(it) => &it.run,
        Instruction::Shell(it) => &it.shell,
        Instruction::Stopsignal(it) => &it.stopsignal,
        Instruction::User(it) => &it.user,
        Instruction::Volume(it) => &it.volume,
        Instruction::Workdir(it) => &it.workdir,
        _ => return 0..0,
    }
    .span
    .clone()
}

impl Build<'_> {
    /// An instruction as the file has it, without comments, and its line.
    fn source(&self, index: usize) -> (String, usize) {
        let text = &self.request.text;
        let start = span(&self.file.instructions[index]).start;
        let end = self.file.instructions.get(index + 1).map_or(text.len(), |next| span(next).start);
        let lines = text[start..end].lines().filter(|line| !line.trim_start().starts_with('#'));
        let joined = lines.collect::<Vec<_>>().join("\n").trim_end().to_owned();
        (joined, text[..start].matches('\n').count() + 1)
    }

    fn at(&self, index: usize, source: BuildError) -> BuildError {
        let line = self.source(index).1;
        BuildError::At { path: self.request.containerfile.clone(), line, source: Box::new(source) }
    }

    /// The stages. ARGs before the first get their values.
    fn parts(&mut self) -> Result<Vec<Part>, BuildError> {
        let mut parts: Vec<Part> = Vec::new();
        for index in 0..self.file.instructions.len() {
            match &self.file.instructions[index] {
                Instruction::From(from) => {
                    let name = from.as_.as_ref().map(|(_, name)| name.value.to_lowercase());
                    parts.push(Part { name, instructions: index..index + 1 });
                }
                Instruction::Arg(arg) if parts.is_empty() => {
                    let text = arg.arguments.value.clone();
                    self.declare_global(&text).map_err(|error| self.at(index, error))?;
                }
                _ => match parts.last_mut() {
                    Some(part) => part.instructions.end = index + 1,
                    None => {
                        let error = BuildError::Instruction(
                            "an instruction other than ARG comes before FROM".to_owned(),
                        );
                        return Err(self.at(index, error));
                    }
                },
            }
        }
        if parts.is_empty() {
            let what = "there is no FROM in it".to_owned();
            return Err(BuildError::Syntax { path: self.request.containerfile.clone(), what });
        }
        Ok(parts)
    }

    fn declare_global(&mut self, text: &str) -> Result<(), BuildError> {
        for declared in crate::expand::words(text, self.escape, &|name| self.global_value(name))? {
            let (name, default) = match declared.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (declared, None),
            };
            if let Some(value) = self.given(&name).or(default) {
                self.global.insert(name, value);
            }
        }
        Ok(())
    }

    fn given(&self, name: &str) -> Option<String> {
        self.request.args.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    fn global_value(&self, name: &str) -> Option<String> {
        let platform =
            PLATFORM.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        self.global.get(name).cloned().or(platform)
    }

    /// Whether some ARG asks for a build argument.
    fn is_declared(&self, name: &str) -> bool {
        let asks = |text: &str| {
            let declares = |word: &str| word.split('=').next() == Some(name);
            text.split_whitespace().any(declares)
        };
        PREDEFINED.contains(&name)
            || self
                .file
                .instructions
                .iter()
                .any(|instruction| matches!(instruction, Instruction::Arg(arg) if asks(&arg.arguments.value)))
    }

    /// The stages that `target` needs, each after those that it needs itself.
    fn needed(&self, parts: &[Part], target: usize) -> Result<BTreeSet<usize>, BuildError> {
        let mut needed = BTreeSet::new();
        let mut todo = vec![target];
        while let Some(index) = todo.pop() {
            if !needed.insert(index) {
                continue;
            }
            for at in parts[index].instructions.clone() {
                let name = match &self.file.instructions[at] {
                    Instruction::From(from) => {
                        word(&from.image.value, self.escape, &|name| self.global_value(name))
                            .map_err(|error| self.at(at, error.into()))?
                    }
                    Instruction::Copy(copy) => match option(&copy.options, "from") {
                        Some(from) => from.to_owned(),
                        None => continue,
                    },
                    _ => continue,
                };
                todo.extend(find_stage(parts, index, &name));
            }
        }
        Ok(needed)
    }

    fn now(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        timestamp(self.request.epoch.map_or(now, |epoch| now.min(epoch)))
    }

    fn stage(&self, parts: &[Part], index: usize) -> Result<State, BuildError> {
        let part = &parts[index];
        let name = part.name.clone().unwrap_or_else(|| index.to_string());
        let mut state = None;
        for (step, at) in part.instructions.clone().enumerate() {
            let (source, _) = self.source(at);
            let first_line = source.lines().next().unwrap_or_default().trim_end_matches(self.escape);
            eprintln!("[{name} {}/{}] {first_line}", step + 1, part.instructions.len());
            let result = match (&self.file.instructions[at], &mut state) {
                (Instruction::From(from), state) => {
                    let image = word(&from.image.value, self.escape, &|name| self.global_value(name));
                    image
                        .map_err(BuildError::from)
                        .and_then(|image| self.base(parts, index, &image, &from.options))
                        .map(|base| *state = Some(base))
                }
                (instruction, Some(state)) => self.instruction(parts, index, instruction, &source, state),
                (_, None) => Ok(()),
            };
            result.map_err(|error| self.at(at, error))?;
        }
        state.ok_or(BuildError::NoTarget(name))
    }

    /// What a FROM begins with.
    fn base(
        &self,
        parts: &[Part],
        index: usize,
        image: &str,
        options: &[Flag<'_>],
    ) -> Result<State, BuildError> {
        for flag in options {
            match (flag.name.value.as_ref(), flag.value.as_ref().map(|value| value.value.as_ref())) {
                ("platform", Some(platform)) => {
                    let platform = word(platform, self.escape, &|name| self.global_value(name))?;
                    if !matches!(platform.as_str(), "" | "linux/amd64" | "linux/x86_64") {
                        return Err(BuildError::Instruction(format!(
                            "--platform={platform}: guests are linux/amd64"
                        )));
                    }
                }
                (name, _) => return Err(unknown_option(name)),
            }
        }
        if let Some(stage) = find_stage(parts, index, image) {
            let mut state = self.done[&stage].clone();
            state.args.clear();
            return Ok(state);
        }
        let empty = State {
            fs: Fs::empty(),
            layers: Vec::new(),
            config: Config {
                architecture: "amd64".to_owned(),
                os: "linux".to_owned(),
                config: Process { env: vec![DEFAULT_PATH.to_owned()], ..Process::default() },
                rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
                ..Config::default()
            },
            key: Sha256::digest(b"scratch").into(),
            args: BTreeMap::new(),
        };
        if image == "scratch" {
            return Ok(empty);
        }
        if let Some(root) = image.strip_prefix("rootfs:") {
            return self.root_as_base(root, empty, image);
        }
        let found = self.image(image)?;
        let mut state = State {
            fs: Fs::of_image(&self.request.store.root(&found)?.files)?,
            key: key(&empty.key, &["FROM", &found.id().to_string()]),
            config: found.config.clone(),
            ..empty
        };
        if variable(&state.config.config, "PATH").is_none() {
            state.config.config.env.insert(0, DEFAULT_PATH.to_owned());
        }
        // What the base left to whoever builds on it.
        for trigger in std::mem::take(&mut state.config.config.on_build) {
            eprintln!("  ONBUILD {trigger}");
            let text = format!("FROM scratch\n{trigger}\n");
            let file = parse_dockerfile::parse(&text)
                .map_err(|error| BuildError::Instruction(format!("ONBUILD {trigger}: {error}")))?;
            if let Some(instruction) = file.instructions.get(1) {
                self.instruction(parts, index, instruction, &trigger, &mut state)?;
            }
        }
        Ok(state)
    }

    /// An image of the store, which is fetched where it is not there.
    fn image(&self, name: &str) -> Result<husk_image::Image, BuildError> {
        let wrong = |error| BuildError::NoBase(name.to_owned(), error);
        let is_name = !source::TRANSPORTS.iter().any(|transport| name.starts_with(transport));
        if is_name && let Some(image) = self.request.store.find(name).map_err(wrong)? {
            return Ok(image);
        }
        eprintln!("  fetching {name}");
        let source = source::open(name, &self.request.registry).map_err(wrong)?;
        let names = if is_name { vec![name.parse().map_err(wrong)?] } else { Vec::new() };
        self.session.fetch(source.as_ref(), &names, &Silent).map_err(wrong)
    }

    /// A directory or an EROFS image as the base, which becomes one layer.
    fn root_as_base(&self, root: &str, empty: State, image: &str) -> Result<State, BuildError> {
        let path = self.request.context.join(root);
        let path = if path.is_dir() {
            husk_host::pack::pack_rootfs(&path, &husk_host::pack::default_cache()?)?
        } else {
            path
        };
        let fs = Fs::of_image(std::slice::from_ref(&path))?;
        let bytes = fs::read(&path).map_err(|source| BuildError::Io { path: path.clone(), source })?;
        let mut state = State { key: Sha256::digest(&bytes).into(), ..empty };
        self.layer(&mut state, |_, layer| copy::whole(&fs, layer), &format!("FROM {image}"))?;
        Ok(state)
    }

    /// Does something that changes the root, unless it was done before from the same state; `state.key` must say already
    /// what it is.
    fn layer(
        &self,
        state: &mut State,
        act: impl FnOnce(&State, &mut Writer) -> Result<(), BuildError>,
        source: &str,
    ) -> Result<(), BuildError> {
        let name: String = state.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.request.cache.join(format!("{name}.layer"));
        let io = |source| BuildError::Io { path: path.clone(), source };
        let layer = Layer::new(path.clone());
        if self.request.use_cache && husk_host::cache::touch(&path) {
            eprintln!("  cached");
        } else {
            let file = tempfile::NamedTempFile::new_in(&self.request.cache).map_err(io)?;
            let latest = self.request.epoch.map(|epoch| epoch.saturating_mul(1_000_000_000));
            let mut writer = Writer::new(file.reopen().map_err(io)?, latest);
            act(state, &mut writer)?;
            writer.finish().map_err(io)?;
            file.persist(&path).map_err(|error| io(error.error))?;
        }
        let changes = layer.changes()?;
        let is_empty = changes.is_empty();
        changes.into_iter().for_each(|(node, bytes)| state.fs.apply(node, bytes));
        if !is_empty {
            state.layers.push(layer);
        }
        self.note(state, source, is_empty);
        Ok(())
    }

    fn note(&self, state: &mut State, source: &str, empty_layer: bool) {
        let entry = History {
            created: Some(self.now()),
            created_by: Some(source.to_owned()),
            author: None,
            comment: Some("husk".to_owned()),
            empty_layer,
        };
        state.config.history.push(entry);
    }

    /// What `name` is in an instruction: the environment counts before build arguments.
    fn value(&self, state: &State, name: &str) -> Option<String> {
        variable(&state.config.config, name).map(str::to_owned).or_else(|| state.args.get(name).cloned())
    }

    fn instruction(
        &self,
        parts: &[Part],
        stage: usize,
        instruction: &Instruction<'_>,
        source: &str,
        state: &mut State,
    ) -> Result<(), BuildError> {
        let expand = |state: &State, text: &str| {
            word(text, self.escape, &|name| self.value(state, name)).map_err(BuildError::from)
        };
        let expanded_words = |state: &State, text: &str| {
            crate::expand::words(text, self.escape, &|name| self.value(state, name)).map_err(BuildError::from)
        };
        let expanded_pairs = |state: &State, text: &str| {
            pairs(text, self.escape, &|name| self.value(state, name), true).map_err(BuildError::from)
        };
        match instruction {
            Instruction::Run(run) => return self.run(state, run, source),
            Instruction::Copy(copy) => {
                return self.copy(
                    parts,
                    stage,
                    state,
                    "COPY",
                    &copy.options,
                    &copy.src,
                    &copy.dest.value,
                    source,
                );
            }
            Instruction::Add(add) => {
                return self.copy(
                    parts,
                    stage,
                    state,
                    "ADD",
                    &add.options,
                    &add.src,
                    &add.dest.value,
                    source,
                );
            }
            Instruction::Workdir(workdir) => {
                let path = expand(state, &workdir.arguments.value)?;
                let path = absolute(&state.config.config.working_dir, &path);
                state.config.config.working_dir.clone_from(&path);
                state.key = key(&state.key, &["WORKDIR", &path]);
                return self.layer(
                    state,
                    |state, layer| copy::make_directory(&state.fs, &path, layer),
                    source,
                );
            }
            Instruction::Arg(arg) => {
                for declared in expanded_words(state, &arg.arguments.value)? {
                    let (name, default) = match declared.split_once('=') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (declared, None),
                    };
                    if let Some(value) = self.given(&name).or(default).or_else(|| self.global_value(&name)) {
                        state.args.insert(name, value);
                    }
                }
            }
            Instruction::Env(env) => {
                for (name, value) in expanded_pairs(state, &env.arguments.value)? {
                    set_variable(&mut state.config.config, &name, &value);
                }
            }
            Instruction::Label(label) => {
                let labels = expanded_pairs(state, &label.arguments.value)?;
                state.config.config.labels.extend(labels);
            }
            Instruction::Expose(expose) => {
                for port in &expose.arguments {
                    for port in expanded_words(state, &port.value)? {
                        let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                        state.config.config.exposed_ports.insert(port, json!({}));
                    }
                }
            }
            Instruction::Volume(volume) => {
                let volumes: Vec<&str> = match &volume.arguments {
                    JsonOrStringArray::Json(array) => {
                        array.value.iter().map(|item| item.value.as_ref()).collect()
                    }
                    JsonOrStringArray::String(items) => {
                        items.iter().map(|item| item.value.as_ref()).collect()
                    }
                };
                for volume in volumes {
                    let volume = expand(state, volume)?;
                    state.config.config.volumes.insert(volume, json!({}));
                }
            }
            Instruction::User(user) => {
                state.config.config.user = expand(state, &user.arguments.value)?;
            }
            Instruction::Stopsignal(signal) => {
                state.config.config.stop_signal = expand(state, &signal.arguments.value)?;
            }
            Instruction::Shell(shell) => {
                state.config.config.shell =
                    shell.arguments.iter().map(|word| word.value.to_string()).collect();
            }
            Instruction::Cmd(cmd) => {
                state.config.config.cmd = self.command(state, &cmd.arguments);
            }
            Instruction::Entrypoint(entrypoint) => {
                state.config.config.entrypoint = self.command(state, &entrypoint.arguments);
                // A CMD of the base belonged to another program.
                state.config.config.cmd.clear();
            }
            Instruction::Healthcheck(check) => {
                state.config.config.healthcheck = Some(self.healthcheck(&check.options, &check.arguments)?);
            }
            Instruction::Maintainer(maintainer) => {
                state.config.author = Some(maintainer.name.value.to_string());
            }
            Instruction::Onbuild(_) => {
                let rest = source.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim());
                state.config.config.on_build.push(rest.to_owned());
            }
            _ => return Err(BuildError::Instruction("this instruction is not known".to_owned())),
        }
        state.key = key(&state.key, &[source]);
        self.note(state, source, true);
        Ok(())
    }

    /// The words of CMD and ENTRYPOINT.
    fn command(&self, state: &State, command: &Command<'_>) -> Vec<String> {
        match command {
            Command::Exec(words) => words.value.iter().map(|word| word.value.to_string()).collect(),
            Command::Shell(text) => {
                let mut words = shell(&state.config.config);
                words.push(self.unfold(text.value));
                words
            }
            _ => Vec::new(),
        }
    }

    /// A shell's line without the ends of lines that the escape character took away, and without comments between.
    fn unfold(&self, text: &str) -> String {
        let mut line = String::new();
        for part in text.lines() {
            if !line.is_empty() && part.trim_start().starts_with('#') {
                continue;
            }
            match part.trim_end().strip_suffix(self.escape) {
                Some(part) => line.push_str(part),
                None => {
                    line.push_str(part);
                    line.push('\n');
                }
            }
        }
        line.trim_end_matches('\n').to_owned()
    }

    fn healthcheck(
        &self,
        options: &[Flag<'_>],
        arguments: &HealthcheckArguments<'_>,
    ) -> Result<serde_json::Value, BuildError> {
        let test: Vec<String> = match arguments {
            HealthcheckArguments::Cmd { arguments: Command::Exec(words), .. } => {
                std::iter::once("CMD".to_owned())
                    .chain(words.value.iter().map(|word| word.value.to_string()))
                    .collect()
            }
            HealthcheckArguments::Cmd { arguments: Command::Shell(text), .. } => {
                vec!["CMD-SHELL".to_owned(), self.unfold(text.value)]
            }
            _ => vec!["NONE".to_owned()],
        };
        let mut check = json!({"Test": test});
        for flag in options {
            let value = flag.value.as_ref().map_or("", |value| value.value.as_ref());
            let wrong = || {
                BuildError::Instruction(format!("--{}={value}: the value is not understood", flag.name.value))
            };
            let (name, number) = match flag.name.value.as_ref() {
                "interval" => ("Interval", duration(value)),
                "timeout" => ("Timeout", duration(value)),
                "start-period" => ("StartPeriod", duration(value)),
                "start-interval" => ("StartInterval", duration(value)),
                "retries" => ("Retries", value.parse().ok()),
                name => return Err(unknown_option(name)),
            };
            check[name] = number.ok_or_else(wrong)?.into();
        }
        Ok(check)
    }

    fn context(&self) -> Result<&Fs, BuildError> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let own = PathBuf::from(format!("{}.dockerignore", self.request.containerfile.display()));
        let shared = [".containerignore", ".dockerignore"].map(|name| self.request.context.join(name));
        let file = std::iter::once(own).chain(shared).find(|path| path.exists());
        let ignore = match file {
            None => Ignore::default(),
            Some(path) => {
                let text = fs::read_to_string(&path)
                    .map_err(|source| BuildError::Io { path: path.clone(), source })?;
                Ignore::parse(&text).map_err(|(line, error)| BuildError::Syntax {
                    path: path.clone(),
                    what: format!("line {line}: {error}"),
                })?
            }
        };
        let context = copy::context(&self.request.context, &ignore)?;
        Ok(self.context.get_or_init(|| context))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of an instruction, which two kinds share")]
    fn copy(
        &self,
        parts: &[Part],
        stage: usize,
        state: &mut State,
        what: &str,
        options: &[Flag<'_>],
        sources: &[Source<'_>],
        to: &str,
        source: &str,
    ) -> Result<(), BuildError> {
        let expand =
            |text: &str| word(text, self.escape, &|name| self.value(state, name)).map_err(BuildError::from);
        let (mut owner, mut permissions, mut from) = (None, None, None);
        for flag in options {
            let value = expand(flag.value.as_ref().map_or("", |value| value.value.as_ref()))?;
            match flag.name.value.as_ref() {
                "chown" => {
                    owner = Some(users::find(&state.fs, &value, true).map(|user| (user.uid, user.gid))?)
                }
                "chmod" => {
                    let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777);
                    let wrong = || {
                        BuildError::Instruction(format!("--chmod={value}: it is no octal number up to 7777"))
                    };
                    permissions = Some(mode.ok_or_else(wrong)?);
                }
                "from" if what == "COPY" => from = Some(value),
                // A layer of its own is what every COPY gets.
                "link" => {}
                name => return Err(unknown_option(name)),
            }
        }
        let image;
        let from_fs = match &from {
            None => self.context()?,
            Some(name) => match find_stage(parts, stage, name) {
                Some(index) => &self.done[&index].fs,
                None => {
                    image = Fs::of_image(&self.request.store.root(&self.image(name)?)?.files)?;
                    &image
                }
            },
        };
        let (mut paths, mut inline, mut archives) = (Vec::new(), Vec::new(), Vec::new());
        for item in sources {
            match item {
                Source::Path(path) => {
                    let path = expand(&path.value)?;
                    match if what == "ADD" { self.archive(from_fs, &path)? } else { None } {
                        Some(archive) => archives.push(archive),
                        None => paths.push(path),
                    }
                }
                Source::HereDoc(document) => {
                    inline.push((here_name(source, inline.len())?, self.here_text(state, document)?))
                }
                _ => return Err(BuildError::Instruction("this kind of source is not known".to_owned())),
            }
        }
        let is_directory = to.ends_with('/') || matches!(to, "." | "..");
        let mut to = absolute(&state.config.config.working_dir, &expand(to)?);
        if is_directory && !to.ends_with('/') {
            to.push('/');
        }
        let copy = Copy {
            from: from_fs,
            inline: &inline,
            sources: &paths,
            to: &to,
            owner,
            permissions,
            scratch: self.scratch.path(),
        };
        let everything = ["/".to_owned()];
        let unpacks =
            archives.iter().map(|archive| Copy { from: archive, inline: &[], sources: &everything, ..copy });
        let mut copies: Vec<Copy<'_>> = unpacks.collect();
        if !(copy.sources.is_empty() && copy.inline.is_empty()) {
            copies.push(copy);
        }
        if copies.len() > 1 && !to.ends_with('/') {
            let why = "several files need a directory, with a slash at its end";
            return Err(BuildError::Destination(to.clone(), why));
        }
        let mut words = vec![what.to_owned(), to.clone(), format!("{owner:?} {permissions:?}")];
        for copy in &copies {
            words.push(copy.digest()?.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        state.key = key(&state.key, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let write = |state: &State, layer: &mut Writer| {
            copies.iter().try_for_each(|copy| copy.write(&state.fs, layer))
        };
        self.layer(state, write, source)
    }

    /// What ADD unpacks: the contents of an archive of the context. What it would fetch is refused.
    fn archive(&self, from: &Fs, path: &str) -> Result<Option<Fs>, BuildError> {
        let is_remote =
            ["http://", "https://", "ftp://", "git@", "git://"].iter().any(|start| path.starts_with(start));
        if is_remote {
            return Err(BuildError::Instruction(format!(
                "ADD {path}: nothing is fetched while building: fetch it before, and COPY it"
            )));
        }
        let real = copy::clean(path).and_then(|path| from.resolve(path.as_bytes()));
        let Some(inode) = real.and_then(|real| from.get(&real)) else { return Ok(None) };
        let mut head = Vec::new();
        let _ = inode.bytes.each(|piece| {
            head.extend_from_slice(&piece[..piece.len().min(512)]);
            Err(std::io::ErrorKind::Other.into())
        });
        if !copy::is_archive(&head) {
            return Ok(None);
        }
        let bytes = inode.bytes.to_vec().map_err(|source| BuildError::Io { path: path.into(), source })?;
        let scratch = || tempfile::NamedTempFile::new_in(self.scratch.path());
        let io = |source| BuildError::Io { path: path.into(), source };
        let (image, frame) = (scratch().map_err(io)?, scratch().map_err(io)?);
        let (_, image_path) = image.keep().map_err(|error| io(error.error))?;
        let file = fs::File::options().read(true).write(true).open(&image_path).map_err(io)?;
        let tar = husk_image::layer::uncompressed(bytes.as_slice())?;
        match husk_image::layer::import(tar, &file, frame.as_file(), husk_image::layer::Limits::default()) {
            Ok(_) => Fs::of_image(&[image_path]).map(Some),
            // Something compressed that is no archive is copied as it is.
            Err(_) if head.get(257..262) != Some(b"ustar") && is_no_tar(&bytes) => Ok(None),
            Err(error) => Err(BuildError::Instruction(format!("ADD {path}: {error}"))),
        }
    }

    fn here_text(&self, state: &State, document: &HereDoc<'_>) -> Result<Vec<u8>, BuildError> {
        if !document.expand {
            return Ok(document.value.as_bytes().to_vec());
        }
        // Quotes mean nothing in a here-document.
        let quoted = document.value.replace(['\'', '"'], "");
        if quoted.contains('$') {
            let guarded = document.value.replace('"', "\\\"").replace('\'', "\\'");
            return Ok(word(&guarded, '\\', &|name| self.value(state, name))?.into_bytes());
        }
        Ok(document.value.as_bytes().to_vec())
    }

    fn run(
        &self,
        state: &mut State,
        run: &parse_dockerfile::RunInstruction<'_>,
        source: &str,
    ) -> Result<(), BuildError> {
        for flag in &run.options {
            let value = flag.value.as_ref().map_or("", |value| value.value.as_ref());
            match (flag.name.value.as_ref(), value) {
                ("network", "none" | "default") | ("security", "sandbox") => {}
                ("network" | "security", _) => {
                    return Err(BuildError::Instruction(format!(
                        "--{}={value}: guests have no such thing",
                        flag.name.value
                    )));
                }
                (name, _) => return Err(unknown_option(name)),
            }
        }
        let process = &state.config.config;
        let mut stdin = Vec::new();
        let words: Vec<String> = match (&run.arguments, &run.here_docs[..]) {
            (Command::Exec(words), _) => words.value.iter().map(|word| word.value.to_string()).collect(),
            (Command::Shell(text), []) => {
                let mut words = shell(process);
                words.push(self.unfold(text.value));
                words
            }
            (Command::Shell(text), [document]) if is_script(text.value) => {
                let script = document.value.to_string();
                match script.strip_prefix("#!").and_then(|line| line.lines().next()) {
                    // A script of its own interpreter is given to that.
                    Some(interpreter) => {
                        stdin = script.clone().into_bytes();
                        interpreter.split_whitespace().map(str::to_owned).collect()
                    }
                    None => {
                        let mut words = shell(process);
                        words.push(script);
                        words
                    }
                }
            }
            (Command::Shell(text), [document]) => {
                stdin = document.value.as_bytes().to_vec();
                let before = text.value.split("<<").next().unwrap_or_default();
                let mut words = shell(process);
                words.push(self.unfold(before));
                words
            }
            _ => return Err(BuildError::Instruction("RUN takes one here-document".to_owned())),
        };
        let user = users::find(&state.fs, &process.user, false)?;
        let mut env = state.args.clone();
        for (name, value) in self.request.args.iter().filter(|(name, _)| PREDEFINED.contains(&name.as_str()))
        {
            env.insert(name.clone(), value.clone());
        }
        env.entry("HOME".to_owned()).or_insert(user.home.clone());
        for entry in std::iter::once(DEFAULT_PATH).chain(process.env.iter().map(String::as_str)) {
            if let Some((name, value)) = entry.split_once('=') {
                env.insert(name.to_owned(), value.to_owned());
            }
        }
        let env: Vec<String> = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let workdir = if process.working_dir.is_empty() { "/" } else { &process.working_dir };
        let mut parts = vec!["RUN", workdir, &process.user];
        parts.extend(words.iter().map(String::as_str));
        parts.push("");
        parts.extend(env.iter().map(String::as_str));
        let document = String::from_utf8_lossy(&stdin).into_owned();
        parts.push(&document);
        let new_key = key(&state.key, &parts);
        let ids = (user.uid, user.gid);
        let (workdir, before) = (workdir.to_owned(), state.key);
        state.key = new_key;
        let result = self.layer(
            state,
            |state, layer| self.run_in_guest(state, layer, &words, &env, &workdir, ids, &stdin),
            source,
        );
        if result.is_err() {
            state.key = before;
        }
        result
    }

    #[expect(clippy::too_many_arguments, reason = "all that a command is run with")]
    fn run_in_guest(
        &self,
        state: &State,
        layer: &mut Writer,
        words: &[String],
        env: &[String],
        workdir: &str,
        (uid, gid): (u32, u32),
        stdin: &[u8],
    ) -> Result<(), BuildError> {
        let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
        let program = words.first().ok_or_else(|| BuildError::Instruction("RUN runs nothing".to_owned()))?;
        let program = find_program(&state.fs, program, path, workdir).ok_or(BuildError::Run {
            code: 127,
            note: ": there is no such program in the image (a base made `FROM scratch` has not even a shell)",
        })?;
        // The layers as they lie in the store: a base is not copied, however big it is.
        let mut diff_ids = state.config.rootfs.diff_ids.clone();
        for layer in &state.layers {
            diff_ids.push(layer.stored(&self.session)?);
        }
        let merged = self.scratch.path().join("root.erofs");
        let root = self.request.store.root_at(&diff_ids, merged)?;
        let mut options = self.request.run_options.clone();
        options.extend(["--no-inherit-env", "--workdir", workdir].map(OsString::from));
        options.extend([OsString::from("--user"), format!("{uid}:{gid}").into()]);
        for entry in env {
            options.extend([OsString::from("--env"), entry.into()]);
        }
        let mut command: Vec<OsString> = words.iter().map(OsString::from).collect();
        command[0] = program.into();
        let run = Run {
            front: &self.request.front,
            image: &root.files,
            command: &command,
            options,
            record: true,
            export: true,
            capture: husk_host::guest::Output::Stderr,
            stdin: if stdin.is_empty() { Stdin::Null } else { Stdin::Bytes(stdin) },
        };
        let outcome = run.run(layer)?;
        match outcome.exit_code {
            0 => Ok(()),
            code => {
                // connect, sendto, sendmsg, sendmmsg: it wanted to reach somebody.
                let tried = [42, 44, 46, 307].iter().any(|call| outcome.record.calls.contains(*call));
                let note = if tried {
                    "; guests have no outside network yet: if it was to download, fetch before and COPY"
                } else {
                    ""
                };
                Err(BuildError::Run { code, note })
            }
        }
    }
}

/// The name of an instruction's here-document by its number, which COPY makes the name of a file.
fn here_name(source: &str, number: usize) -> Result<String, BuildError> {
    let marks = source.match_indices("<<").map(|(at, _)| source[at + 2..].trim_start_matches('-'));
    let names = marks.map(|rest| {
        let rest = rest.trim_start_matches(['"', '\'']);
        let end = rest.find(|end: char| !end.is_alphanumeric() && !"._-".contains(end)).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    let name = names.filter(|name| !name.is_empty()).nth(number);
    name.ok_or_else(|| BuildError::Instruction("a here-document has no name".to_owned()))
}

/// Whether all that RUN says is a here-document, which then is a script.
fn is_script(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with("<<")
}

/// Whether compressed bytes hold no tar.
fn is_no_tar(bytes: &[u8]) -> bool {
    let mut head = vec![0; 512];
    let read = husk_image::layer::uncompressed(bytes).map(|mut from| from.read_exact(&mut head));
    !matches!(read, Ok(Ok(()))) || head.get(257..262) != Some(b"ustar")
}

/// A variable of an image's environment.
pub(crate) fn variable<'a>(process: &'a Process, name: &str) -> Option<&'a str> {
    process.env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

fn set_variable(process: &mut Process, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match process.env.iter_mut().find(|entry| entry.split('=').next() == Some(name)) {
        Some(known) => *known = entry,
        None => process.env.push(entry),
    }
}

/// The shell of RUN, CMD and ENTRYPOINT.
fn shell(process: &Process) -> Vec<String> {
    if process.shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { process.shell.clone() }
}

/// The absolute path of a program in an image.
pub(crate) fn find_program(fs: &Fs, name: &str, path: &str, workdir: &str) -> Option<String> {
    let is_there = |path: &String| {
        let real = copy::clean(path).and_then(|path| fs.resolve(path.as_bytes()));
        real.is_some_and(|real| fs.get(&real).is_some() && !fs.is_directory(&real))
    };
    if name.contains('/') {
        return Some(absolute(workdir, name)).filter(is_there);
    }
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| format!("{}/{name}", dir.trim_end_matches('/')))
        .find(is_there)
}

/// A path that is relative to the working directory.
fn absolute(workdir: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{workdir}/{path}") };
    let slash = if path.ends_with('/') && path.len() > 1 { "/" } else { "" };
    format!("/{}{slash}", copy::clean(&format!("/{joined}")).unwrap_or_default())
}

fn unknown_option(name: &str) -> BuildError {
    BuildError::Instruction(format!("--{name}: this option is not known here"))
}

fn option<'a>(options: &'a [Flag<'_>], name: &str) -> Option<&'a str> {
    let flag = options.iter().find(|flag| flag.name.value == name)?;
    flag.value.as_ref().map(|value| value.value.as_ref())
}

/// An earlier stage by its name or number.
fn find_stage(parts: &[Part], before: usize, name: &str) -> Option<usize> {
    let earlier = &parts[..before];
    let named = earlier.iter().rposition(|part| part.name.as_deref() == Some(&name.to_lowercase()));
    named.or_else(|| name.parse().ok().filter(|index| *index < before))
}

/// The key of a state that follows another by something with these parts.
fn key(before: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"husk build 1\n");
    hash.update(before);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A duration as Go writes it, `1m30s`, in nanoseconds.
fn duration(text: &str) -> Option<u64> {
    let mut total = 0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|end: char| !end.is_ascii_digit() && end != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|end: char| end.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total as u64)
}

/// Seconds since the epoch as RFC 3339 has them.
fn timestamp(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil from days, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(1_795_839_345), "2026-11-28T04:15:45Z");
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("5"), None);
        assert_eq!(duration(""), None);
    }

    #[test]
    fn paths_are_made_absolute() {
        assert_eq!(absolute("/a", "b"), "/a/b");
        assert_eq!(absolute("", "b/"), "/b/");
        assert_eq!(absolute("/a", "../../x"), "/x");
        assert_eq!(absolute("/a", "/"), "/");
    }
}

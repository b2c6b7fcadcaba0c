//! `husk build`: an application in one executable.

use husk_app::{Strict, flag, free};
use husk_host::app::{self, App};
use husk_host::pack::{PackRequest, default_cache, pack, pack_rootfs};
use husk_host::profile;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What every executable can be given, whatever it is made from.
#[derive(clap::Args, Clone)]
pub(crate) struct Guest {
    /// A variable of the guest's environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<OsString>,
    /// Give the guest none of the environment of whoever starts it
    #[arg(long)]
    pub(crate) no_inherit_env: bool,
    /// Working directory in the guest
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<OsString>,
    /// User and group in the guest
    #[arg(short, long, value_name = "UID[:GID]", value_parser = user)]
    pub(crate) user: Option<(u32, u32)>,
    /// Memory limit in bytes, or with k, m, g
    #[arg(short, long, value_name = "N", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Number of vCPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: Option<u32>,
    /// The tender below the guest
    #[arg(long, value_enum)]
    pub(crate) tender: Option<Tender>,
    /// The guest may not fork, and so needs no parent process
    #[arg(long)]
    pub(crate) no_fork: bool,
    /// The terminal, where there is one, is the guest's
    #[arg(long)]
    pub(crate) tty: bool,
    /// Refuse system calls that are not in the profile: with ENOSYS, or end the process by SIGSYS
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "errno")]
    pub(crate) strict: Option<StrictHow>,
    /// The system calls that are allowed: a file with one name a line
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// What whoever starts it may not change: all, or some of args, env, memory, cpus, user, workdir, tender, trace, tty,
    /// strict
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) freeze: Vec<String>,
    /// Compare all digests at each start, which reads the whole file
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(clap::ValueEnum, Clone, Copy)]
pub(crate) enum Tender {
    Process,
    Kvm,
}

#[derive(clap::ValueEnum, Clone, Copy)]
pub(crate) enum StrictHow {
    Errno,
    Kill,
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder that COPY and ADD copy from
    #[arg(value_name = "CONTEXT", conflicts_with = "program")]
    context: Option<PathBuf>,
    /// The instructions; else Containerfile or Dockerfile in the context, - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "program")]
    file: Option<PathBuf>,
    /// A name for the image in the store (may be given several times)
    #[arg(short = 't', long, value_name = "NAME[:TAG]", conflicts_with = "program")]
    tag: Vec<husk_image::Reference>,
    /// A value for an ARG
    #[arg(long, value_name = "NAME[=VALUE]", conflicts_with = "program")]
    build_arg: Vec<String>,
    /// A label of the image
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "program")]
    label: Vec<String>,
    /// Build this stage instead of the last
    #[arg(long, value_name = "STAGE", conflicts_with = "program")]
    target: Option<String>,
    #[command(flatten)]
    registry: super::pull::Registry,
    /// Take no layers of earlier builds
    #[arg(long, conflicts_with = "program")]
    no_cache: bool,
    /// No Containerfile: make an executable of this program, a name in PATH or a path; with --rootfs, a path in that root
    #[arg(long, value_name = "PROGRAM", requires = "output")]
    program: Option<OsString>,
    /// More that the program needs: a path, a Debian package or a program
    #[arg(long, value_name = "PATH|PACKAGE", conflicts_with = "rootfs", requires = "program")]
    with: Vec<OsString>,
    /// The program's root: a directory or an EROFS image
    #[arg(long, value_name = "DIR|IMAGE", requires = "program")]
    rootfs: Option<PathBuf>,
    /// Where the result goes too: an executable, or an OCI layout or archive
    #[arg(short, long, value_name = "FILE|oci:DIR[:TAG]|oci-archive:FILE|docker-archive:FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    guest: Guest,
    /// Arguments of the executable's program that come before those of whoever starts it
    #[arg(last = true)]
    args: Vec<OsString>,
}

fn user(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| text.parse().map_err(|_| "users and groups are numbers here".to_owned());
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, number(gid)?)),
        None => number(text).map(|uid| (uid, uid)),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("a size is a number, or one with k, m, g or t".to_owned()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "a size is a number, or one with k, m, g or t".to_owned())?;
    number
        .checked_mul(1 << shift)
        .filter(|size| *size > 0)
        .ok_or_else(|| "the size is out of range".to_owned())
}

impl Guest {
    /// The same as options of `husk run`, as far as a run to see what is needed takes them.
    pub(crate) fn run_options(&self) -> Vec<OsString> {
        let mut options = Vec::new();
        let mut add = |name: &str, value: OsString| options.extend([OsString::from(name), value]);
        self.env.iter().for_each(|entry| add("--env", entry.clone()));
        self.workdir.iter().for_each(|dir| add("--workdir", dir.clone()));
        self.user.iter().for_each(|(uid, gid)| add("--user", format!("{uid}:{gid}").into()));
        self.memory.iter().for_each(|memory| add("--memory", memory.to_string().into()));
        self.cpus.iter().for_each(|cpus| add("--cpus", cpus.to_string().into()));
        match self.tender {
            Some(Tender::Kvm) => add("--tender", "kvm".into()),
            Some(Tender::Process) => add("--tender", "process".into()),
            None => {}
        }
        if self.no_fork {
            options.push("--no-fork".into());
        }
        options
    }

    /// What `app` says, as options of `husk run`, as far as these here do not say otherwise.
    pub(crate) fn options_of(&self, app: &App) -> Vec<OsString> {
        let mut options = Vec::new();
        let mut add = |name: &str, value: OsString| options.extend([OsString::from(name), value]);
        app.env.iter().for_each(|entry| add("--env", OsString::from_vec(entry.clone())));
        if self.workdir.is_none() {
            add("--workdir", OsString::from_vec(app.workdir.clone()));
        }
        if self.user.is_none() {
            add("--user", format!("{}:{}", app.user.0, app.user.1).into());
        }
        options
    }

    /// Writes what the options say into `app`.
    pub(crate) fn apply(&self, app: &mut App) -> Result<(), Box<dyn Error>> {
        app.env.extend(self.env.iter().map(|entry| entry.as_bytes().to_vec()));
        if let Some(workdir) = &self.workdir {
            if !workdir.as_bytes().starts_with(b"/") {
                return Err(format!("build: --workdir {}: it must be absolute", workdir.display()).into());
            }
            app.workdir = workdir.as_bytes().to_vec();
        }
        app.user = self.user.unwrap_or(app.user);
        app.memory = self.memory.or(app.memory);
        app.cpus = self.cpus.or(app.cpus);
        app.tender = match self.tender {
            Some(Tender::Process) => husk_abi::boot::TENDER_PROCESS,
            Some(Tender::Kvm) => husk_abi::boot::TENDER_KVM,
            None => app.tender,
        };
        let switch = |flags: &mut u32, on: bool, flag: u32, value: bool| {
            if on {
                *flags = if value { *flags | flag } else { *flags & !flag };
            }
        };
        switch(&mut app.flags, self.no_fork, flag::FORK, false);
        switch(&mut app.flags, self.no_inherit_env, flag::INHERIT_ENV, false);
        switch(&mut app.flags, self.tty, flag::TERMINAL, true);
        switch(&mut app.flags, self.verify, flag::VERIFY, true);
        if let Some(path) = &self.profile {
            let problem = |error: &dyn Error| format!("build: {}: {error}", path.display());
            let text = fs::read_to_string(path).map_err(|error| problem(&error))?;
            app.profile = Some(profile::parse(&text).map_err(|error| problem(&error))?);
        }
        if let Some(how) = self.strict {
            if app.profile.is_none() {
                return Err("build: --strict: there is no profile; give one with --profile, or make one with `husk shrink \
                            --trace`"
                    .into());
            }
            app.strict = match how {
                StrictHow::Errno => Strict::Errno,
                StrictHow::Kill => Strict::Kill,
            };
        }
        for what in &self.freeze {
            if what == "all" {
                app.free = 0;
                continue;
            }
            let Some((bit, _)) = free::NAMES.iter().find(|(_, name)| name == what) else {
                let known: Vec<_> = free::NAMES.iter().map(|(_, name)| *name).collect();
                return Err(format!(
                    "build: --freeze {what}: it is not all, nor one of {}",
                    known.join(", ")
                )
                .into());
            };
            app.free &= !bit;
        }
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    match (&options.program, &options.output) {
        (Some(program), Some(output)) => of_program(options, program, output),
        _ => of_containerfile(options),
    }
}

fn of_program(options: &Options, program: &OsString, output: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let packed = pack_program(program, &options.with, options.rootfs.as_deref(), "build")?;
    let (image, path) = match packed {
        Ok(packed) => packed,
        Err(code) => return Ok(code),
    };
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
    let mut args = vec![program.as_bytes().to_vec()];
    args.extend(options.args.iter().map(|arg| arg.clone().into_vec()));
    let mut app = App::new(&name, path.as_bytes(), args);
    options.guest.apply(&mut app)?;
    write(&app, &image, output)
}

fn of_containerfile(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let wrong = |error: &dyn Error| format!("build: {error}");
    let context = options.context.clone().unwrap_or_else(|| PathBuf::from("."));
    if !context.is_dir() {
        return Err(format!("build: {}: the context must be a directory", context.display()).into());
    }
    let in_context = ["Containerfile", "Dockerfile"].map(|name| context.join(name));
    let containerfile = match &options.file {
        Some(file) => file.clone(),
        None => in_context.into_iter().find(|path| path.exists()).ok_or_else(|| {
            format!("build: {}: there is no Containerfile, nor a Dockerfile", context.display())
        })?,
    };
    let text = if containerfile == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        fs::read_to_string(&containerfile)
    };
    let text = text.map_err(|error| format!("build: {}: {error}", containerfile.display()))?;
    let mut args = Vec::new();
    for arg in &options.build_arg {
        match arg.split_once('=') {
            Some((name, value)) => args.push((name.to_owned(), value.to_owned())),
            // As for Docker: the value that the environment has.
            None => args.extend(std::env::var(arg).ok().map(|value| (arg.clone(), value))),
        }
    }
    let mut labels = Vec::new();
    for label in &options.label {
        let (name, value) = label
            .split_once('=')
            .ok_or_else(|| format!("build: --label {label}: it is given as NAME=VALUE"))?;
        labels.push((name.to_owned(), value.to_owned()));
    }
    let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Some(text.parse().map_err(|_| "build: SOURCE_DATE_EPOCH: it is a number of seconds")?),
        Err(_) => None,
    };
    let front = app::front_beside().map_err(|error| wrong(&error))?;
    let mut run_options = Vec::new();
    if let Some(Tender::Kvm) = options.guest.tender {
        run_options.extend(["--tender", "kvm"].map(OsString::from));
    }
    let request = husk_build::Request {
        front: front.clone(),
        store: husk_image::Store::open_default().map_err(|error| wrong(&error))?,
        registry: options.registry.options(),
        names: options.tag.clone(),
        containerfile,
        text,
        context,
        args,
        labels,
        target: options.target.clone(),
        cache: default_cache()?.join("build"),
        use_cache: !options.no_cache,
        run_options,
        epoch,
    };
    let cache = default_cache()?;
    let held = husk_host::cache::hold(&cache).map_err(|error| wrong(&error))?;
    let built = match husk_build::build(&request) {
        Ok(built) => built,
        Err(error) => {
            eprintln!("husk: build: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("{}", built.image.id());
    let result = put_out(options, &request, &built, &front);
    drop((built, held));
    // Only so that it does not grow for ever: the build is done.
    let _ = husk_host::cache::sweep(&cache, husk_host::cache::Rule::Bound, false);
    result
}

/// Writes the image to where it is to go besides the store.
fn put_out(
    options: &Options,
    request: &husk_build::Request,
    built: &husk_build::Built,
    front: &Path,
) -> Result<ExitCode, Box<dyn Error>> {
    let wrong = |error: &dyn Error| format!("build: {error}");
    let Some(output) = &options.output else {
        if options.tag.is_empty() {
            eprintln!(
                "husk: build: note: without -t NAME or -o FILE the image has no name, and is gone with the next `husk rmi` or `husk prune`"
            );
        }
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(target) = output
        .to_str()
        .filter(|text| husk_image::source::TRANSPORTS.iter().any(|transport| text.starts_with(transport)))
    {
        let target = target.parse().map_err(|error: husk_image::ImageError| wrong(&error))?;
        request.store.save(&built.image, &target, options.tag.first()).map_err(|error| wrong(&error))?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = output.file_name().unwrap_or(output.as_os_str()).to_string_lossy().into_owned();
    let built = husk_build::executable::<Box<dyn Error>>(built, &name, front, output, |app| {
        app.args.extend(options.args.iter().map(|arg| arg.clone().into_vec()));
        options.guest.apply(app)
    })?;
    tell(output, &built);
    Ok(ExitCode::SUCCESS)
}

/// The root image for a program, and the program's path in it: packed for it, or the root that was named. Or how to end,
/// when the reason has been told.
pub(crate) fn pack_program(
    program: &OsString,
    with: &[OsString],
    rootfs: Option<&Path>,
    verb: &str,
) -> Result<Result<(PathBuf, OsString), ExitCode>, Box<dyn Error>> {
    match rootfs {
        Some(path) if path.is_dir() => {
            let image = pack_rootfs(path, &default_cache()?).map_err(|error| format!("{verb}: {error}"))?;
            Ok(Ok((image, program.clone())))
        }
        Some(path) => Ok(Ok((path.to_path_buf(), program.clone()))),
        None => match pack(&PackRequest::here(program.clone(), with.to_vec())?) {
            Ok(packed) => {
                packed.notes.iter().for_each(|note| eprintln!("husk: {verb}: note: {note}"));
                Ok(Ok((packed.image, packed.program.into_os_string())))
            }
            Err(error) => {
                eprintln!("husk: {verb}: {error}");
                Ok(Err(ExitCode::from(error.exit_code())))
            }
        },
    }
}

/// Writes the executable and says what it became.
pub(crate) fn write(app: &App, image: &Path, output: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let built = app::front_beside()
        .and_then(|front| app::write(app, &front, image, output))
        .map_err(|error| format!("build: {error}"))?;
    tell(output, &built);
    Ok(ExitCode::SUCCESS)
}

fn tell(output: &Path, built: &app::Built) {
    let hex: String = built.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    eprintln!(
        "husk: {}: {} bytes (root image {}, tender and kernel {}), sha256 {hex}",
        output.display(),
        built.size,
        built.root,
        built.front,
    );
}

//! The ways to run a program that are compared.

use crate::work::Work;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One way to run a program.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    words: Vec<String>,
}

impl Variant {
    fn new(name: &'static str, words: &[&str]) -> Self {
        Self { name, words: words.iter().map(|word| (*word).to_owned()).collect() }
    }

    /// The command that runs `program` with `arguments` in this way.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, program: &Path, arguments: &[S]) -> Command {
        self.command_with(&[], program, arguments)
    }

    /// As `command`, with further `options` of `husk run`: none for what is not Husk.
    pub(crate) fn command_with<S: AsRef<OsStr>>(
        &self,
        options: &[String],
        program: &Path,
        arguments: &[S],
    ) -> Command {
        let mut command = match self.words.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
                let mut command = Command::new(first);
                command.args(&rest[..end]).args(options).args(&rest[end..]).arg(program);
                command
            }
        };
        command.args(arguments).stdin(Stdio::null());
        command
    }
}

/// All of them that this machine has.
pub(crate) struct Variants {
    /// Native, then Husk's tenders: these run every measurement.
    pub(crate) main: Vec<Variant>,
    /// Only for starts.
    pub(crate) no_fork: Vec<Variant>,
    /// Other sandboxes, for starts of a program below `/`.
    pub(crate) others: Vec<Variant>,
    /// OCI runtimes, with the bundle that they run. Absent: not installed.
    pub(crate) runtimes: Vec<Runtime>,
    /// What is not installed.
    pub(crate) missing: Vec<&'static str>,
}

/// An OCI runtime and a bundle whose process is the static hello.
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    bundle: PathBuf,
}

impl Runtime {
    pub(crate) fn command(&self, id: &str) -> Command {
        let mut command = Command::new(self.name);
        command.arg("run").arg("--bundle").arg(&self.bundle).arg(id).stdin(Stdio::null());
        command
    }
}

fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether `husk` can run anything under the kvm tender here.
fn kvm_works(variant: &Variant, program: &Path) -> bool {
    let mut command = variant.command::<&str>(program, &[]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Variants {
    pub(crate) fn find(husk: &Path, work: &Work) -> Self {
        let husk = husk.to_string_lossy();
        let mut missing = Vec::new();
        let mut main = vec![
            Variant::new("native", &[]),
            Variant::new("process", &[&husk, "run", "--tender", "process", "--"]),
        ];
        let mut no_fork =
            vec![Variant::new("process, no fork", &[&husk, "run", "--tender", "process", "--no-fork", "--"])];
        let kvm = Variant::new("kvm", &[&husk, "run", "--tender", "kvm", "--"]);
        if kvm_works(&kvm, &work.path("hello")) {
            main.push(kvm);
            no_fork.push(Variant::new("kvm, no fork", &[&husk, "run", "--tender", "kvm", "--no-fork", "--"]));
        } else {
            missing.push("kvm");
        }
        let mut others = Vec::new();
        if installed("bwrap") {
            let words = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--"];
            others.push(Variant::new("bubblewrap", &words));
        } else {
            missing.push("bubblewrap");
        }
        let mut runtimes = Vec::new();
        for name in ["runc", "crun"] {
            match installed(name).then(|| bundle(name, work)).flatten() {
                Some(bundle) => runtimes.push(Runtime { name, bundle }),
                None => missing.push(name),
            }
        }
        Self { main, no_fork, others, runtimes, missing }
    }
}

/// A bundle as `runtime spec` makes it, with the static hello as its process and nothing else in its root.
fn bundle(runtime: &'static str, work: &Work) -> Option<PathBuf> {
    let bundle = work.path(&format!("bundle-{runtime}"));
    std::fs::create_dir_all(bundle.join("rootfs")).ok()?;
    std::fs::copy(work.path("hello"), bundle.join("rootfs/hello")).ok()?;
    let made = Command::new(runtime).arg("spec").current_dir(&bundle).output().ok()?;
    if !made.status.success() {
        return None;
    }
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    config["process"]["args"] = serde_json::json!(["/hello"]);
    config["process"]["terminal"] = false.into();
    std::fs::write(&path, config.to_string()).ok()?;
    let runtime = Runtime { name: runtime, bundle: bundle.clone() };
    let id = format!("husk-bench-try-{}", std::process::id());
    let works = runtime.command(&id).output().ok()?.status.success();
    works.then_some(bundle)
}

//! The flow: find the cases, run each natively and in guests, several at once, and report. Guests that try to
//! outlive their tender run last and alone, so that every process found afterwards is theirs.

use crate::case::Case;
use crate::exec::{self, Outcome};
use crate::gaps::Gaps;
use crate::image::Image;
use crate::posix::{self, Posix};
use crate::program::{self, Program, Refusal};
use crate::report::{Report, Verdict, difference};
use crate::snapshot::{self, Scenario};
use crate::{Options, TenderChoice, terminal};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One test of whatever kind.
enum Test {
    Case(Case),
    /// The same with TMPDIR on a volume.
    OnVolume(Case),
    Posix(Posix),
    Program(Program),
    Refusal(Refusal),
    /// A hostile guest, and whether it ends by itself or its tender is killed.
    Hostile(Case, Ending),
    Snapshot(Scenario),
    Image(Image),
}

#[derive(Clone, Copy)]
enum Ending {
    Exit,
    Kill,
}

impl Test {
    /// What its verdicts are about.
    fn ids(&self) -> Vec<String> {
        let id = match self {
            Test::Posix(posix) => return posix.ids(),
            Test::Case(case) => case.id(),
            Test::OnVolume(case) => format!("volumes/{}-{}", case.family, case.name),
            Test::Program(program) => format!("programs/{}", program.name),
            Test::Refusal(refusal) => format!("errors/{}", refusal.name),
            Test::Hostile(case, Ending::Exit) => format!("hostile/{}-exits", case.name),
            Test::Hostile(case, Ending::Kill) => format!("hostile/{}-is-killed", case.name),
            Test::Snapshot(scenario) => format!("snapshot/{}", scenario.name()),
            Test::Image(image) => format!("images/{}", image.name),
        };
        vec![id]
    }

    /// The test, or what the options leave of it.
    fn chosen(self, options: &Options) -> Option<Test> {
        match self {
            Test::Posix(posix) => posix.filter(|id| is_chosen(id, options)).map(Test::Posix),
            test => test.ids().iter().all(|id| is_chosen(id, options)).then_some(test),
        }
    }
}

/// Where things are.
struct Place {
    husk: PathBuf,
    /// Compiled cases.
    out: PathBuf,
    /// TMPDIR of native runs; a tmpfs where the host has one, as it is what a guest writes to.
    scratch: PathBuf,
    /// Sources of the programs suite.
    sources: PathBuf,
}

/// Runs what the options ask for; true if nothing failed.
pub(crate) fn run(options: &Options) -> Result<bool, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = find(folder)?;
    let ids: Vec<String> = tests.iter().flat_map(Test::ids).collect();
    let gaps = Gaps::read(&folder.join("gaps.toml"))?;
    if let Some(stray) = gaps.strays(&ids).first() {
        return Err(format!("gaps.toml names {}, and there is no such case", stray.case));
    }
    let chosen: Vec<Test> = tests.into_iter().filter_map(|test| test.chosen(options)).collect();
    if options.list {
        chosen.iter().flat_map(Test::ids).for_each(|id| println!("{id}"));
        return Ok(true);
    }
    if chosen.is_empty() {
        return Err("no case has such a name".into());
    }

    let place = Place::find(folder)?;
    let tenders = tenders(options, &place)?;
    // Orphans of a guest become children of this process, where they can be seen.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("child subreaper: {error}"))?;
    let mut report = Report::default();
    for reason in &options.skipped {
        report.add("outside of this suite", "native", Verdict::Skipped(reason.clone()));
    }
    let report = Mutex::new(report);
    let (hostile, ordinary): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|test| matches!(test, Test::Hostile(..)));
    let workers = options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, Into::into));
    let runner = Runner { options, place: &place, tenders: &tenders, gaps: &gaps, report: &report };
    let queue = Mutex::new(VecDeque::from(ordinary));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(test) = next(&queue) {
                    runner.run(&test);
                }
            });
        }
    });
    for test in &hostile {
        runner.run(test);
    }
    drop(fs::remove_dir_all(&place.scratch));

    let report = report.into_inner().map_err(|_| "a worker ended early")?;
    if let Some(path) = &options.write {
        fs::write(path, report.markdown()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report.close())
}

fn next(queue: &Mutex<VecDeque<Test>>) -> Option<Test> {
    queue.lock().ok()?.pop_front()
}

fn find(folder: &Path) -> Result<Vec<Test>, String> {
    let (posix, cases): (Vec<_>, Vec<_>) =
        Case::find(&folder.join("cases"))?.into_iter().partition(|case| case.family == "posix");
    let mut tests: Vec<Test> = cases.iter().cloned().map(Test::Case).collect();
    tests.extend(cases.into_iter().filter(|case| case.has_scratch).map(Test::OnVolume));
    for case in posix {
        tests.push(Test::Posix(Posix::of(case)?));
    }
    tests.extend(Program::read(&folder.join("programs.toml"))?.into_iter().map(Test::Program));
    tests.extend(Refusal::read(&folder.join("errors.toml"))?.into_iter().map(Test::Refusal));
    tests.extend(Scenario::ALL.map(Test::Snapshot));
    tests.extend(Image::read(&folder.join("images.toml"))?.into_iter().map(Test::Image));
    for ending in [Ending::Exit, Ending::Kill] {
        let hostile = Case::in_family(&folder.join("hostile"))?;
        tests.extend(hostile.into_iter().map(|case| Test::Hostile(case, ending)));
    }
    Ok(tests)
}

fn is_chosen(id: &str, options: &Options) -> bool {
    let family = id.split('/').next().unwrap_or(id);
    (options.family.is_empty() || options.family.iter().any(|wanted| wanted == family))
        && (options.filter.is_empty() || options.filter.iter().any(|part| id.contains(part.as_str())))
}

impl Place {
    fn find(folder: &Path) -> Result<Place, String> {
        let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let target = this.ancestors().nth(2).ok_or("the runner is not in a target directory")?;
        let husk = std::env::var_os("HUSK_BIN").map_or_else(|| target.join("release/husk"), PathBuf::from);
        let fast = Path::new("/dev/shm");
        let base = if fast.is_dir() { fast.to_owned() } else { std::env::temp_dir() };
        let scratch = base.join(format!("husk-tests-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        Ok(Place { husk, out: target.join("husk-tests"), scratch, sources: folder.join("programs") })
    }

    /// A new empty folder for one run, not below one that a guest mounts over.
    fn fresh(&self) -> Result<PathBuf, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = self.out.join(format!("run-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    fn husk(&self, tender: &str) -> Command {
        self.verb("run", tender)
    }

    fn verb(&self, verb: &str, tender: &str) -> Command {
        let mut command = Command::new(&self.husk);
        command.args([verb, "--tender", tender]);
        command
    }
}

/// The tenders to test, each with the reason if it cannot be.
fn tenders(options: &Options, place: &Place) -> Result<Vec<(&'static str, Option<String>)>, String> {
    let kvm = || match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => None,
        Err(error) => Some(format!("/dev/kvm cannot be used: {error}")),
    };
    let tenders = match options.tender {
        Some(TenderChoice::Native) => Vec::new(),
        Some(TenderChoice::Process) => vec![("process", None)],
        Some(TenderChoice::Kvm) => vec![("kvm", kvm())],
        None => vec![("process", None), ("kvm", kvm())],
    };
    if !tenders.is_empty() && !place.husk.exists() {
        return Err(format!("{} is not there: build it, or set HUSK_BIN", place.husk.display()));
    }
    Ok(tenders)
}

/// What the guests of one source printed, by tender.
type GuestRuns = Vec<(&'static str, Result<Outcome, String>)>;

struct Runner<'a> {
    options: &'a Options,
    place: &'a Place,
    tenders: &'a [(&'static str, Option<String>)],
    gaps: &'a Gaps,
    report: &'a Mutex<Report>,
}

impl Runner<'_> {
    fn run(&self, test: &Test) {
        let verdicts = match test {
            Test::Posix(posix) => return self.posix(posix),
            Test::Case(case) => self.case(case, None),
            Test::OnVolume(case) => self.case(case, Some("/volume")),
            Test::Program(program) => self.program(program),
            Test::Refusal(refusal) => self.each(|tender| self.refusal(refusal, tender)),
            Test::Snapshot(scenario) => self.each(|tender| self.snapshot(*scenario, tender)),
            Test::Image(image) => self.image(image),
            Test::Hostile(case, ending) => self.each(|tender| self.hostile(case, *ending, tender)),
        };
        self.note(&test.ids().concat(), verdicts);
    }

    /// Adds the verdicts on one case to the report; one on a known failure is turned round.
    fn note(&self, id: &str, verdicts: Result<Vec<(&'static str, Verdict)>, String>) {
        let verdicts = verdicts.unwrap_or_else(|error| vec![("native", Verdict::Failed(error))]);
        let Ok(mut report) = self.report.lock() else { return };
        for (tender, verdict) in verdicts {
            let verdict = match (verdict, self.gaps.find(id, tender)) {
                (Verdict::Passed, Some(_)) => {
                    Verdict::Failed("passes now: take it out of gaps.toml".to_owned())
                }
                (Verdict::Failed(_), Some(gap)) => Verdict::Skipped(format!("known: {}", gap.reason)),
                (verdict, _) => verdict,
            };
            report.add(id, tender, verdict);
        }
    }

    /// A verdict for each tender that can be used here.
    fn each(
        &self,
        run: impl Fn(&str) -> Result<Verdict, String>,
    ) -> Result<Vec<(&'static str, Verdict)>, String> {
        let one = |tender: &str, unusable: &Option<String>| match unusable {
            Some(reason) => Verdict::Skipped(reason.clone()),
            None => run(tender).unwrap_or_else(Verdict::Failed),
        };
        Ok(self.tenders.iter().map(|(tender, unusable)| (*tender, one(tender, unusable))).collect())
    }

    /// Compares each guest with the native run; the native run is itself checked when it is repeated. Status 99
    /// says that a case could not do what it needs on this host.
    fn compare(
        &self,
        native: impl Fn() -> Result<Outcome, String>,
        guest: impl Fn(&str) -> Result<Outcome, String>,
    ) -> Result<Vec<(&'static str, Verdict)>, String> {
        let reference = native()?;
        for _ in 1..self.options.repeat {
            let again = native()?;
            if !reference.same_as(&again) {
                return Err(format!("not deterministic natively:\n{}", difference(&reference, &again)));
            }
        }
        if matches!(reference.end, exec::End::TimedOut | exec::End::Status(99)) {
            return Err(format!("native run: {}\n{}", reference.end, reference.stdout));
        }
        if self.tenders.is_empty() {
            return Ok(vec![("native", Verdict::Passed)]);
        }
        self.each(|tender| {
            let outcome = guest(tender)?;
            Ok(match reference.same_as(&outcome) {
                true => Verdict::Passed,
                false => Verdict::Failed(difference(&reference, &outcome)),
            })
        })
    }

    /// `volume`: where in a guest its TMPDIR is, then a folder of the host.
    fn case(&self, case: &Case, volume: Option<&str>) -> Result<Vec<(&'static str, Verdict)>, String> {
        let program = case.compile(&self.place.out)?;
        let run = |mut command: Command| {
            let folder = self.place.fresh()?;
            command.args(case.args()).current_dir(&folder);
            let outcome = exec::run(&command, b"", case.limit()).map_err(|error| error.to_string());
            drop(fs::remove_dir_all(&folder));
            outcome
        };
        self.compare(
            || {
                let mut command = native(&self.place.scratch, &BTreeMap::new());
                command.arg(&program);
                run(command)
            },
            |tender| {
                let mut command = self.place.husk(tender);
                let shared = tempfile::tempdir_in(&self.place.scratch).map_err(|error| error.to_string())?;
                if let Some(volume) = volume {
                    let source = shared.path().display();
                    command.args(["-v", &format!("{source}:{volume}"), "--env", &format!("TMPDIR={volume}")]);
                }
                self.name_program(&mut command, case, &program);
                run(command)
            },
        )
    }

    /// Runs the chosen cases of one source in all places, and notes a verdict on each.
    fn posix(&self, posix: &Posix) {
        let program = match posix.case.compile(&self.place.out) {
            Ok(program) => program,
            Err(error) => return self.note(&posix.case.id(), Err(error)),
        };
        for (at, names) in &posix.places {
            match self.posix_runs(posix, &program, at, names) {
                Ok((native, guests)) => {
                    for name in names {
                        let verdicts = self.posix_verdicts(name, &native, &guests);
                        self.note(&posix.id(at, name), verdicts);
                    }
                }
                Err(error) => self.note(&posix.case.id(), Err(error)),
            }
        }
    }

    /// The native runs, as many as are asked for, and one in a guest of each tender that can be used.
    fn posix_runs(
        &self,
        posix: &Posix,
        program: &Path,
        at: &posix::Place,
        names: &[String],
    ) -> Result<(Vec<Outcome>, GuestRuns), String> {
        let run = |mut command: Command, verb: &str, cases: &Path| {
            command.arg(verb).arg(cases).args(names);
            exec::run(&command, b"", posix.case.limit()).map_err(|error| error.to_string())
        };
        let here = |verb: &str, cases: &Path| {
            let mut command = native(&self.place.scratch, &BTreeMap::new());
            command.arg(program);
            run(command, verb, cases)
        };
        let mut natives = Vec::new();
        for _ in 0..self.options.repeat {
            let fresh = self.place.fresh()?;
            let folder = match (at.like_scratch, fresh.file_name()) {
                (true, Some(name)) => self.place.scratch.join(name),
                _ => fresh.clone(),
            };
            natives.push(here("run", &folder)?);
            drop((fs::remove_dir_all(&folder), fs::remove_dir_all(&fresh)));
        }
        let mut guests = Vec::new();
        for (tender, _) in self.tenders.iter().filter(|(_, unusable)| unusable.is_none()) {
            let fresh = self.place.fresh()?;
            let folder = fresh.join("cases");
            if at.is_prepared() {
                here("prepare", &folder)?;
            } else {
                fs::create_dir(&folder).map_err(|error| error.to_string())?;
            }
            let mut command = self.place.husk(tender);
            // Images of folders that will never be seen again are not to stay in the user's cache.
            command.env("XDG_CACHE_HOME", fresh.join("cache"));
            command.args(at.options(&folder)).arg("--").arg(program);
            guests.push((*tender, run(command, "run", at.folder(&folder))));
            drop(fs::remove_dir_all(&fresh));
        }
        Ok((natives, guests))
    }

    /// The verdicts on one case, whose whole source was run.
    fn posix_verdicts(
        &self,
        name: &str,
        natives: &[Outcome],
        guests: &GuestRuns,
    ) -> Result<Vec<(&'static str, Verdict)>, String> {
        let natives: Vec<Outcome> = natives.iter().map(|outcome| posix::part(outcome, name)).collect();
        if let Some(lacking) = natives.first().and_then(|outcome| posix::lacks(&outcome.stdout)) {
            return Ok(vec![("native", Verdict::Skipped(format!("this host lacks {lacking}")))]);
        }
        let next = AtomicUsize::new(0);
        self.compare(
            || {
                let native = natives.get(next.fetch_add(1, Ordering::Relaxed));
                native.cloned().ok_or_else(|| "was not run natively".to_owned())
            },
            |tender| match guests.iter().find(|(of, _)| *of == tender) {
                Some((_, outcome)) => {
                    outcome.as_ref().map(|outcome| posix::part(outcome, name)).map_err(Clone::clone)
                }
                None => Err("was not run".to_owned()),
            },
        )
    }

    /// Ends the options of `husk run` with the case: packed by itself, or in the root image that was asked for.
    fn name_program(&self, command: &mut Command, case: &Case, program: &Path) {
        match &self.options.rootfs {
            Some(image) => {
                command.arg("--rootfs").arg(image).arg("--").arg(format!("/cases/{}", case.id()));
            }
            None => {
                command.arg("--").arg(program);
            }
        }
    }

    fn program(&self, program: &Program) -> Result<Vec<(&'static str, Verdict)>, String> {
        if let Some(missing) = program::missing(&program.needs) {
            return self.each(|_| Ok(Verdict::Skipped(format!("{missing} is not on this host"))));
        }
        let run = |mut command: Command| {
            let folder = self.place.fresh()?;
            program::build(&program.build, &folder, &self.place.sources)?;
            command.args(&program.run).current_dir(&folder);
            let outcome = match program.terminal.is_empty() {
                true => exec::run(&command, program.stdin.as_bytes(), program.limit()),
                false => terminal::run(&command, &program.terminal, program.limit()),
            };
            drop(fs::remove_dir_all(&folder));
            outcome.map_err(|error| error.to_string())
        };
        self.compare(
            || run(native(&self.place.scratch, &program.env)),
            |tender| {
                let mut command = self.place.husk(tender);
                for (name, value) in &program.env {
                    command.arg("--env").arg(format!("{name}={value}"));
                }
                command.args(&program.husk).arg("--");
                if !program.terminal.is_empty() {
                    self.pack(program)?;
                }
                if program.outside {
                    let words: Vec<_> = [command.get_program()]
                        .into_iter()
                        .chain(command.get_args())
                        .map(OsStr::to_string_lossy)
                        .collect();
                    let start = variable("RUN", words.join(" "));
                    command = native(&self.place.scratch, &program.env);
                    command.arg(start);
                }
                run(command)
            },
        )
    }

    /// Packs a program that is to run on a terminal, where packing would show its progress.
    fn pack(&self, program: &Program) -> Result<(), String> {
        let name = match program.outside {
            true => "sh",
            false => program.run.first().map_or("sh", String::as_str),
        };
        let with = program.husk.windows(2).filter(|pair| pair[0] == "--with");
        let mut command = Command::new(self.place.husk.with_file_name("husk-pack"));
        command.args(with.flatten()).arg(name);
        let output = command.output().map_err(|error| format!("husk-pack: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn snapshot(&self, scenario: Scenario, tender: &str) -> Result<Verdict, String> {
        let folder = self.place.fresh()?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshot");
        let bench = snapshot::Bench { husk: &self.place.husk, sources, folder: &folder, tender };
        let verdict = snapshot::run(scenario, &bench);
        drop(fs::remove_dir_all(&folder));
        verdict
    }

    fn image(&self, image: &Image) -> Result<Vec<(&'static str, Verdict)>, String> {
        let skip = |reason: String| self.each(|_| Ok(Verdict::Skipped(reason.clone())));
        if let Some(reason) = image.lacks() {
            return skip(reason);
        }
        let folder = self.place.fresh()?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
        let verdicts = match image.make(&folder, &sources, &self.place.out) {
            Err(Ok(reason)) => skip(reason),
            Err(Err(error)) => Err(error),
            Ok(made) => self.compare(
                || Ok(image.joined(&image.under_runc(&made)?)),
                |tender| Ok(image.joined(&image.under_husk(&made, &self.place.husk, tender)?)),
            ),
        };
        drop(fs::remove_dir_all(&folder));
        verdicts
    }

    fn refusal(&self, refusal: &Refusal, tender: &str) -> Result<Verdict, String> {
        if refusal.tender.as_deref().is_some_and(|only| only != tender) {
            return Ok(Verdict::Skipped(format!("not for the {tender} tender")));
        }
        if let Some(missing) = program::missing(&refusal.needs) {
            return Ok(Verdict::Skipped(format!("{missing} is not on this host")));
        }
        let folder = self.place.fresh()?;
        program::build(&refusal.build, &folder, &self.place.sources)?;
        let husk = self.place.verb(refusal.verb.as_deref().unwrap_or("run"), tender);
        let mut command = match refusal.under.split_first() {
            None => husk,
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(husk.get_program()).args(husk.get_args());
                command
            }
        };
        command.args(&refusal.run).current_dir(&folder);
        let outcome = exec::run(&command, b"", Duration::from_secs(30)).map_err(|error| error.to_string())?;
        drop(fs::remove_dir_all(&folder));
        let mut wrong = String::new();
        if outcome.end != exec::End::Status(refusal.status) {
            wrong += &format!("{} instead of exit status {}\n", outcome.end, refusal.status);
        }
        if let Some(phrase) = refusal.unsaid(&outcome.stderr) {
            wrong += &format!("does not say {phrase:?}\n");
        }
        match wrong.is_empty() {
            true => Ok(Verdict::Passed),
            false => Err(format!("{wrong}standard error: {}", outcome.stderr)),
        }
    }

    /// Runs a hostile guest until it says that it is ready and ends it; nothing of it may be alive then. Such a
    /// guest is never run natively.
    fn hostile(&self, case: &Case, ending: Ending, tender: &str) -> Result<Verdict, String> {
        let program = case.compile(&self.place.out)?;
        let mut command = self.place.husk(tender);
        command.args(["--memory", "512M"]);
        self.name_program(&mut command, case, &program);
        command.arg(match ending {
            Ending::Exit => "exit",
            Ending::Kill => "stay",
        });
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let before = descendants();
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if ready.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let deadline = Instant::now() + case.limit();
        let mut said = Vec::new();
        while said.last().is_none_or(|line| line != "ready") {
            match is_ready.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(_) => break,
            }
        }
        let was_ready = said.last().is_some_and(|line| line == "ready");
        if matches!(ending, Ending::Kill) {
            child.kill().map_err(|error| error.to_string())?;
        }
        let end = exec::wait(&mut child, case.limit()).map_err(|error| error.to_string())?;

        // A killed process takes a moment to be gone.
        let patience = Instant::now() + Duration::from_secs(2);
        let survivors = loop {
            let alive: Vec<Process> =
                descendants().into_iter().filter(|process| !before.contains(process)).collect();
            if alive.is_empty() || Instant::now() > patience {
                break alive;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        for survivor in &survivors {
            if let Some(pid) = rustix::process::Pid::from_raw(survivor.pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if !was_ready {
            return Err(format!("never said that it was ready; said {said:?}; {end}"));
        }
        if end == exec::End::TimedOut {
            return Err("did not end".into());
        }
        match survivors.is_empty() {
            true => Ok(Verdict::Passed),
            false => {
                let some = &survivors[..survivors.len().min(5)];
                Err(format!("{} alive after its guest ended, among them {some:?}", survivors.len()))
            }
        }
    }
}

/// What starts a program natively, with the environment that a guest has too, but for the scratch folder.
fn native(scratch: &Path, variables: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new("env");
    command.arg("-i").arg(variable("PATH", std::env::var_os("PATH").unwrap_or_default()));
    command.arg("HOME=/root").arg(variable("TMPDIR", scratch));
    command.args(variables.iter().map(|(name, value)| variable(name, value)));
    command
}

fn variable(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut entry = OsString::from(name);
    entry.push("=");
    entry.push(value);
    entry
}

/// A live process, named as the process table names it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    name: String,
}

/// Every live process below this one.
fn descendants() -> Vec<Process> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // "pid (name) state parent …", and the name may hold anything.
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let mut rest = stat[close + 1..].split_whitespace();
        let (state, parent) = (rest.next(), rest.next().and_then(|word| word.parse::<i32>().ok()));
        if let (Some(state), Some(parent)) = (state, parent)
            && state != "Z"
        {
            table.push((parent, Process { pid, name: stat[open + 1..close].to_owned() }));
        }
    }
    let mut below = vec![i32::try_from(std::process::id()).unwrap_or(0)];
    let mut found = Vec::new();
    while let Some(parent) = below.pop() {
        let (children, others) = table.into_iter().partition(|(of, _)| *of == parent);
        table = others;
        for (_, child) in children {
            below.push(child.pid);
            found.push(child);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_a_descendant_until_it_ends() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(descendants().iter().any(|process| process.pid == pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants().iter().any(|process| process.pid == pid));
    }
}

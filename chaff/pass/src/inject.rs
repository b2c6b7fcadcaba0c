//! Chooses sites and plans by the seed, builds, checks the linked program, tries every trigger, and keeps only bugs that
//! pass all of it. What is left is built once more, and everything is proven and tried again on the program that is
//! written; a bug of which anything does not hold there gives way to another, until all does.
//!
//! Work on single bugs is spread over the processors. What it results in must not depend on that, so each has a context
//! of z3 to itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use husk_chaff::manifest::{self, Bug, Class, Effect, Manifest};
use husk_chaff::profile::{self, Expression, Input, Profile, Sample};
use husk_chaff::recipe::Recipe;
use husk_chaff::trace;
use husk_chaff_certify::{self as certify, Certificate, Claim, Image, Seed};
use inkwell::context::Context;
use inkwell::module::Module;
use inkwell::values::{FunctionValue, InstructionValue};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, RngCore, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};
use z3::ast::{Ast as _, BV};

use crate::build::{self, Workshop};
use crate::shapes::{self, LEAST_PASSED, Plan, Writer};
use crate::{instrument, refuse};

/// What `husk-chaff inject` is told.
#[derive(clap::Args)]
pub(crate) struct Order {
    /// The program, built with `husk-chaff cc`.
    program: PathBuf,
    /// Where to write the program with the bugs.
    #[arg(short, long)]
    output: PathBuf,
    /// How many bugs.
    #[arg(long)]
    count: NonZeroUsize,
    /// The same seed gives the same program.
    #[arg(long)]
    seed: u64,
    /// Only bugs of one class [default: both, half of each].
    #[arg(long, value_parser = ["unused", "constrained"])]
    class: Option<String>,
    /// The file with the key that the manifest is encrypted to.
    #[arg(long)]
    key: PathBuf,
    /// The profile [default: PROGRAM.profile].
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Where to write the manifest [default: OUTPUT.chaff].
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// A directory of more benign inputs, which trigger nothing in what is written. May be repeated.
    #[arg(long)]
    quiet: Vec<PathBuf>,
    /// How often one run may pass a site; lower is faster and leaves fewer sites.
    #[arg(long, default_value_t = 200)]
    heat: u64,
    /// Seconds that one run may take.
    #[arg(long, default_value_t = 60)]
    limit: u64,
}

const SIGSEGV: i32 = 11;
const SIGBUS: i32 = 7;
/// How many bugs are tried on one value in a round.
const MOST_OF_A_VALUE: usize = 64;
/// A run triggers a bug with a chance of one in `2^RARE` at most. A bug's window is chosen by the secret seed among all
/// values that the input bytes can make, so that holds for any one input that was made without knowing the seed, if it
/// passes the site no more often than the inputs of the profile.
const RARE: u32 = 24;
/// How many values of a site tell how many of its bits are independent.
const DRAWS: usize = 128;
/// How often what is written is built anew because something does not hold in it.
const FINAL_BUILDS: usize = 8;

/// A place for a bug: a value, and one computation of it in the profile.
#[derive(Clone)]
struct Site<'a> {
    value: u32,
    sample: &'a Sample,
    width: u32,
    /// How often one run passed it at most.
    passes: u64,
}

/// A bug on its way.
#[derive(Clone)]
struct Planned<'a> {
    plan: Plan,
    site: Site<'a>,
    function: String,
    /// How many bits of the input the gate compares.
    compared_bits: u32,
    trigger: Vec<(u64, u8)>,
    /// What an address that is not canonical raises: SIGBUS where the instruction's base is a stack register.
    signal: i32,
}

/// What was proven of a bug in one build.
struct Proven {
    claim: Claim,
    certificate: Certificate,
}

/// What became of a bug in one build: its trigger and the signal it ends with, or why it is no bug.
type Outcome = Result<(Vec<(u64, u8)>, i32), &'static str>;

struct Injector<'a> {
    order: &'a Order,
    recipe: &'a Recipe,
    profile: &'a Profile,
    workshop: Workshop,
    /// The benign inputs: those of the profile, then those that only must stay quiet.
    benign: Vec<Vec<u8>>,
    refused: BTreeMap<String, u64>,
}

/// Carries out an order.
///
/// # Errors
/// When the program, the profile or the key is not usable, or when fewer bugs than asked for can be made.
pub(crate) fn inject(order: &Order) -> Result<()> {
    let key = manifest::key(&order.key)?;
    let program =
        order.program.canonicalize().with_context(|| format!("there is no {}", order.program.display()))?;
    let recipe = Recipe::load(&program)?;
    let profile_path = order.profile.clone().unwrap_or_else(|| manifest::beside(&order.program, ".profile"));
    let profile = Profile::load(&profile_path, &recipe)?;
    let mut benign: Vec<Vec<u8>> = profile.inputs.iter().map(|input| input.bytes.clone()).collect();
    for directory in &order.quiet {
        for path in profile::corpus(directory)? {
            benign.push(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    let mut injector = Injector {
        order,
        benign,
        recipe: &recipe,
        profile: &profile,
        workshop: Workshop::new()?,
        refused: BTreeMap::new(),
    };
    let (manifest, built) = injector.run()?;
    fs::copy(&built, &order.output).with_context(|| format!("cannot write {}", order.output.display()))?;
    let path = order.manifest.clone().unwrap_or_else(|| manifest::beside(&order.output, ".chaff"));
    manifest.store(&path, &key)?;
    eprintln!("{} bugs in {}, manifest {}", manifest.bugs.len(), order.output.display(), path.display());
    Ok(())
}

impl<'a> Injector<'a> {
    fn run(&mut self) -> Result<(Manifest, PathBuf)> {
        let count = self.order.count.get();
        let mut random = ChaCha8Rng::seed_from_u64(self.order.seed);
        let (sites, heap) = self.sites()?;
        if sites.is_empty() {
            bail!(
                "{count} bugs were asked for and 0 can be made: no value of the profile is under an attacker's control at a \
                 site that may be used{}",
                self.reasons()
            );
        }
        let mut kept: Vec<Planned<'a>> = Vec::new();
        let mut proven_sites: BTreeSet<u32> = BTreeSet::new();
        let values: BTreeSet<u32> = sites.iter().map(|site| site.value).collect();
        let mut next_id = 1;
        // The first round tries all values alike and shows whose bytes are dead; later rounds use those.
        for round in 0..6 {
            let missing = count.saturating_sub(kept.len());
            if missing == 0 || (round > 0 && proven_sites.is_empty()) {
                break;
            }
            // More of one value would crowd one place of the program.
            if round > 0 && missing > proven_sites.len() * MOST_OF_A_VALUE {
                break;
            }
            let usable: Vec<&Site<'a>> =
                sites.iter().filter(|site| round == 0 || proven_sites.contains(&site.value)).collect();
            let tries =
                if round == 0 { (missing * 2).min(values.len() * 2) } else { missing + missing / 3 } + 8;
            let mut fresh = Vec::new();
            for _ in 0..tries {
                if let Some(planned) = self.plan(&mut random, &usable, next_id, heap)? {
                    fresh.push(planned);
                }
                next_id += 1;
            }
            let passed = self.select(fresh)?;
            proven_sites.extend(passed.iter().map(|planned| planned.site.value));
            kept.extend(passed);
            progress(&format!("{} of {count} bugs after round {}", kept.len(), round + 1));
        }
        kept.shuffle(&mut random);
        // All of them again, on the program that is written.
        let stripped = self.workshop.file("stripped");
        for _ in 0..FINAL_BUILDS {
            if kept.len() < count {
                break;
            }
            let mut chosen: Vec<Planned<'a>> = kept[..count].to_vec();
            chosen.sort_by_key(|planned| planned.plan.id);
            let (linked, proven) = self.build(&chosen)?;
            build::strip(&linked, &stripped)?;
            let bytes = fs::read(&stripped)?;
            if manifest::build_of(&bytes)? != manifest::build_of(&fs::read(&linked)?)? {
                bail!("stripping changed what is loaded");
            }
            let program = self.under_its_name(&stripped)?;
            let shown = parallel(&chosen, |one| {
                let Some(proof) = proven.get(&one.plan.id) else { return Ok(None) };
                self.shows(&program, &effect(proof, SIGSEGV), &one.trigger, one)
            });
            let mut failed = BTreeSet::new();
            for (one, shown) in chosen.iter_mut().zip(shown) {
                match shown? {
                    Some(signal) => one.signal = signal,
                    None => {
                        failed.insert(one.plan.id);
                    }
                }
            }
            if !failed.is_empty() {
                self.refuse_all("it holds among some bugs and not among all", failed.len());
            }
            let loud = self.loud(&program, &chosen, &proven)?;
            if failed.is_empty() && loud.is_empty() {
                let manifest = self.manifest(&chosen, &proven, manifest::build_of(&bytes)?);
                return Ok((manifest, stripped));
            }
            kept.retain(|one| !failed.contains(&one.plan.id) && !loud.contains(&one.plan.id));
            progress(&format!("{} of {count} hold in the final program", count - failed.len() - loud.len()));
        }
        bail!(
            "{count} bugs were asked for and {} can be certified and triggered: ask for fewer, profile a larger \
             corpus, or raise --heat{}",
            kept.len().min(count.saturating_sub(1)),
            self.reasons()
        );
    }

    /// A copy under the program's own name, which it may print.
    fn under_its_name(&self, program: &Path) -> Result<PathBuf> {
        let name = self.order.program.file_name().context("a program without a name")?;
        let path = self.workshop.file(&name.to_string_lossy());
        fs::copy(program, &path)?;
        Ok(path)
    }

    fn reasons(&self) -> String {
        let mut reasons: Vec<_> = self.refused.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        reasons.iter().take(6).map(|(reason, count)| format!("\n  {count} refused: {reason}")).collect()
    }

    fn refuse(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }

    fn refuse_all(&mut self, reason: &str, times: usize) {
        if times > 0 {
            *self.refused.entry(reason.to_owned()).or_default() += times as u64;
        }
    }

    /// The values that an attacker controls, and whether the program has a heap.
    fn sites(&mut self) -> Result<(Vec<Site<'a>>, bool)> {
        let context = Context::create();
        let module = build::merged(&context, self.recipe)?;
        let refusals = refuse::refusals(&module);
        let mut sites = Vec::new();
        for (number, (function, instruction)) in (0_u32..).zip(values(&module)) {
            let Some(value) = self.profile.values.get(&number) else { continue };
            if value.samples.is_empty() {
                continue;
            }
            if let Some(reason) = refusals.get(&name_of(function)) {
                self.refuse(&format!("site in a function that {reason}"));
                continue;
            }
            if value.count_in_run > self.order.heat {
                self.refuse("site is passed too often");
                continue;
            }
            let width =
                instrument::int_result(instruction).map_or(0, |value| value.get_type().get_bit_width());
            for sample in &value.samples {
                // Uncomplicated: a near copy of enough bytes of input.
                if sample.expression.bytes().len() < 4 || sample.expression.computations() > 4 {
                    continue;
                }
                sites.push(Site { value: number, sample, width, passes: value.count_in_run });
            }
        }
        // Dead: bytes that decided few branches. The upper quarter is left out, so that a target with few dead bytes has
        // some sites; which bytes are dead enough is tried.
        let mut liveness: Vec<u64> = sites.iter().map(|site| site.sample.liveness).collect();
        liveness.sort_unstable();
        let limit = liveness.get(liveness.len() * 3 / 4).copied().unwrap_or(0).max(8);
        let before = sites.len();
        sites.retain(|site| site.sample.liveness <= limit);
        for _ in sites.len()..before {
            self.refuse("value whose bytes decide many branches");
        }
        let heap = ["malloc", "free"]
            .iter()
            .all(|name| module.get_function(name).is_some_and(|function| function.count_basic_blocks() == 0));
        Ok((sites, heap))
    }

    fn plan(
        &mut self,
        random: &mut ChaCha8Rng,
        sites: &[&Site<'a>],
        id: u32,
        heap: bool,
    ) -> Result<Option<Planned<'a>>> {
        // Each value alike, whatever the number of its samples.
        let values: BTreeSet<u32> = sites.iter().map(|site| site.value).collect();
        let values: Vec<u32> = values.into_iter().collect();
        let value = values.choose(random).copied().context("no sites")?;
        let samples: Vec<&&Site<'a>> = sites.iter().filter(|site| site.value == value).collect();
        let site = (**samples.choose(random).context("no samples")?).clone();
        let class = match self.order.class.as_deref() {
            Some("unused") => Class::Unused,
            Some(_) => Class::Constrained,
            None if id.is_multiple_of(2) => Class::Unused,
            None => Class::Constrained,
        };
        // A value that some input makes: the input of the profile with these bytes anything, or, where text is
        // expected, any letters.
        let bytes = site.sample.expression.bytes();
        let mut input = self.profile.inputs[site.sample.input].bytes.clone();
        let printable = bytes.len() >= 8 && random.random::<bool>();
        let mut draws = Vec::new();
        for _ in 0..DRAWS {
            for &offset in &bytes {
                if let Some(byte) = usize::try_from(offset).ok().and_then(|offset| input.get_mut(offset)) {
                    *byte = if printable { random.random_range(0x20..0x7f) } else { random.next_u32() as u8 };
                }
            }
            draws.push(site.sample.expression.evaluate(&input));
        }
        let goal = draws[0];
        let of_a_byte = if printable { 6 } else { 8 };
        let bits = (u32::try_from(bytes.len())? * of_a_byte).min(independent_bits(&draws));
        let compared = RARE + site.passes.max(1).next_power_of_two().ilog2();
        if bits < compared + LEAST_PASSED {
            self.refuse("too few input bits decide the value for how often it is computed");
            return Ok(None);
        }
        let plan = Plan::choose(random, id, class, site.width, bits - compared, goal, heap);
        let compared_bits = bits - plan.passed_bits;
        let function = String::new();
        Ok(Some(Planned { plan, site, function, compared_bits, trigger: Vec::new(), signal: SIGSEGV }))
    }

    /// Builds with all of `planned` and returns those that are certified, triggered as expected, and silent on the
    /// corpus.
    fn select(&mut self, mut planned: Vec<Planned<'a>>) -> Result<Vec<Planned<'a>>> {
        self.name_functions(&mut planned)?;
        let (linked, proven) = self.build(&planned)?;
        let image = Image::parse(&fs::read(&linked)?)?;
        let outcomes = parallel(&planned, |one| -> Result<Option<Outcome>> {
            let Some(proof) = proven.get(&one.plan.id) else { return Ok(None) };
            let Some(changes) = self.solve(&image, one, proof)? else {
                return Ok(Some(Err("no input makes the value that triggers it")));
            };
            Ok(Some(match self.shows(&linked, &effect(proof, SIGSEGV), &changes, one)? {
                Some(signal) => Ok((changes, signal)),
                None => Err("the trigger does not reach the site: its bytes are not dead"),
            }))
        });
        let mut passed = Vec::new();
        for (mut one, outcome) in planned.into_iter().zip(outcomes) {
            match outcome? {
                Some(Ok((changes, signal))) => {
                    (one.trigger, one.signal) = (changes, signal);
                    passed.push(one);
                }
                Some(Err(reason)) => self.refuse(reason),
                None => {}
            }
        }
        let loud = self.loud(&linked, &passed, &proven)?;
        passed.retain(|one| !loud.contains(&one.plan.id));
        Ok(passed)
    }

    /// The bugs that show on benign inputs.
    fn loud(
        &mut self,
        program: &Path,
        bugs: &[Planned<'a>],
        proven: &HashMap<u32, Proven>,
    ) -> Result<BTreeSet<u32>> {
        let mut owner = BTreeMap::new();
        for one in bugs {
            if let Some(proof) = proven.get(&one.plan.id) {
                let (Effect::Overwrites { at } | Effect::Crashes { at, .. }) = effect(proof, one.signal);
                owner.extend(at.into_iter().map(|at| (at, one.plan.id)));
            }
        }
        let watch: Vec<u64> = owner.keys().copied().collect();
        let numbered: Vec<(usize, &Vec<u8>)> = self.benign.iter().enumerate().collect();
        let traces = parallel(&numbered, |(number, bytes)| {
            let scratch = self.workshop.file(&format!("benign{number}"));
            fs::write(&scratch, bytes)?;
            let trace = self.trace(program, &watch, &scratch);
            fs::remove_file(&scratch)?;
            trace
        });
        let mut loud = BTreeSet::new();
        for trace in traces {
            let trace = trace?;
            loud.extend(trace.passed.iter().filter_map(|at| owner.get(at)).copied());
            loud.extend(trace.crash.and_then(|crash| crash.at).and_then(|at| owner.get(&at)).copied());
        }
        self.refuse_all("benign inputs trigger it", loud.len());
        Ok(loud)
    }

    fn trace(&self, program: &Path, watch: &[u64], input: &Path) -> Result<trace::Trace> {
        let command = profile::command_for(&self.profile.command, &self.profile.program, program, input)?;
        let stdin = profile::on_stdin(&self.profile.command).then_some(input);
        trace::trace(&command, program, watch, Duration::from_secs(self.order.limit), stdin)
    }

    /// Whether a bug's trigger has the effect that the manifest will name, and the signal it ends with if that is a
    /// crash.
    fn shows(
        &self,
        program: &Path,
        effect: &Effect,
        changes: &[(u64, u8)],
        one: &Planned<'a>,
    ) -> Result<Option<i32>> {
        let mut input = self.profile.inputs[one.site.sample.input].bytes.clone();
        for &(offset, byte) in changes {
            input[usize::try_from(offset)?] = byte;
        }
        let path = self.workshop.file(&format!("trigger{}", one.plan.id));
        fs::write(&path, &input)?;
        let signal = match effect {
            Effect::Overwrites { at } => {
                let trace = self.trace(program, at, &path)?;
                (!trace.passed.is_empty() && trace.crash.is_none()).then_some(SIGSEGV)
            }
            Effect::Crashes { at, .. } => {
                let trace = self.trace(program, &[], &path)?;
                let fits = |address: Option<u64>| address.is_some_and(|address| at.contains(&address));
                let crash = trace.crash.filter(|crash| fits(crash.at));
                crash.map(|crash| crash.signal).filter(|signal| [SIGSEGV, SIGBUS].contains(signal))
            }
        };
        fs::remove_file(&path)?;
        Ok(signal)
    }

    fn name_functions(&self, planned: &mut [Planned<'a>]) -> Result<()> {
        let context = Context::create();
        let module = build::merged(&context, self.recipe)?;
        let values = values(&module);
        for one in planned {
            one.function = name_of(values[usize::try_from(one.site.value)?].0);
        }
        Ok(())
    }

    /// Links the program with these bugs and proves what can be proven of them.
    fn build(&mut self, planned: &[Planned<'a>]) -> Result<(PathBuf, HashMap<u32, Proven>)> {
        let context = Context::create();
        let module = build::merged(&context, self.recipe)?;
        let values = values(&module);
        let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let globals = shapes::readable(&module);
        for one in planned {
            let (host, instruction) = values[usize::try_from(one.site.value)?];
            let functions = Writer::new(&context, &module, &globals, host).write(&one.plan)?;
            call(&context, instruction, functions[0], one.plan.width)?;
            // The gate will be no function any more.
            names.insert(one.plan.id, functions[1..].iter().map(|function| name_of(*function)).collect());
        }
        build::inline(&module)?;
        arrange(&module, &names.values().flatten().cloned().collect(), self.order.seed);
        module.verify().map_err(|error| anyhow::anyhow!("injection breaks the module: {error}"))?;
        // Under its own name, which it may print.
        let linked = self
            .workshop
            .file(&self.order.program.file_name().context("a program without a name")?.to_string_lossy());
        self.workshop.link(self.recipe, &module, &[], &linked)?;
        let image = Image::parse(&fs::read(&linked)?)?;
        let verdicts = parallel(planned, |one| {
            let code: Option<Vec<(u64, u64)>> = names[&one.plan.id]
                .iter()
                .map(|name| image.symbol(name).filter(|(_, size)| *size > 0))
                .collect();
            let code = code.ok_or_else(|| "its code is not in the program".to_owned())?;
            let claim = Claim { entry: code[0].0, code, slack: one.plan.slack() };
            let verdict = z3::with_z3_config(&z3::Config::new(), || certify::certify(&image, &claim));
            match verdict {
                Ok(certificate) => Ok(Proven { claim, certificate }),
                Err(refusal) => {
                    // Without the address, which differs each time.
                    let reason = refusal.0.split_once(' ').map_or(refusal.0.as_str(), |(first, rest)| {
                        if first.starts_with("0x") { rest } else { &refusal.0 }
                    });
                    Err(format!("no certificate ({}): {reason}", one.plan.name()))
                }
            }
        });
        let mut proven = HashMap::new();
        for (one, verdict) in planned.iter().zip(verdicts) {
            match verdict {
                Ok(proof) => {
                    proven.insert(one.plan.id, proof);
                }
                Err(reason) => self.refuse(&reason),
            }
        }
        Ok((linked, proven))
    }

    /// The bytes that make the site's value one that triggers the bug.
    fn solve(&self, image: &Image, one: &Planned<'a>, proof: &Proven) -> Result<Option<Vec<(u64, u8)>>> {
        let sample = one.site.sample;
        let offsets = sample.expression.bytes();
        let input = &self.profile.inputs[sample.input].bytes;
        if offsets.iter().any(|&offset| offset >= input.len() as u64) {
            return Ok(None);
        }
        let witness = z3::with_z3_config(&z3::Config::new(), || {
            let bytes: BTreeMap<u64, BV> =
                offsets.iter().map(|&offset| (offset, BV::fresh_const("byte", 8))).collect();
            let (value, passes) = one.plan.behind_gate(&formula(&sample.expression, &bytes));
            let seed = Seed { value, conditions: vec![passes], bytes: bytes.values().cloned().collect() };
            certify::witness(image, &proof.claim, &proof.certificate, &seed)
        });
        // Where the solver gave up there may be an input, but none is known.
        let Ok(witness) = witness else { return Ok(None) };
        Ok(witness.map(|witness| {
            let changed = offsets.iter().copied().zip(witness.bytes);
            changed.filter(|&(offset, byte)| input.get(offset as usize) != Some(&byte)).collect()
        }))
    }

    fn manifest(&self, kept: &[Planned<'a>], proven: &HashMap<u32, Proven>, build: String) -> Manifest {
        let mut inputs: Vec<Input> = Vec::new();
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut bugs = Vec::new();
        for one in kept {
            let proof = &proven[&one.plan.id];
            let input = *places.entry(one.site.sample.input).or_insert_with(|| {
                inputs.push(self.profile.inputs[one.site.sample.input].clone());
                inputs.len() - 1
            });
            let facts = serde_json::to_vec(&(&proof.claim, &proof.certificate)).unwrap_or_default();
            bugs.push(Bug {
                id: one.plan.id,
                class: one.plan.class(),
                shape: one.plan.name().into(),
                function: one.function.clone(),
                value: one.site.value,
                input,
                changes: one.trigger.clone(),
                compared_bits: one.compared_bits,
                passes: one.site.passes,
                effect: effect(proof, one.signal),
                certificate: Sha256::digest(&facts).iter().map(|byte| format!("{byte:02x}")).collect(),
                proof: proof_in_words(proof),
                code: proof.claim.code.clone(),
            });
        }
        Manifest {
            build,
            program: self.profile.program.clone(),
            command: self.profile.command.clone(),
            seed: self.order.seed,
            inputs,
            bugs,
            refused: self.refused.clone().into_iter().collect(),
        }
    }
}

/// How many bits of these random values are independent of each other: copies of a sign count once, and what is mostly
/// the same does not count.
fn independent_bits(draws: &[u64]) -> u32 {
    let often = |bit: u32| draws.iter().filter(|&&draw| draw >> bit & 1 == 1).count();
    let fair = (0..64)
        .filter(|&bit| (draws.len() / 3..=draws.len() * 2 / 3).contains(&often(bit)))
        .fold(0_u64, |mask, bit| mask | 1 << bit);
    // The rank of their differences: bits that are linear in others add nothing to it.
    let mut basis = [0_u64; 64];
    for draw in draws {
        let mut rest = (draw ^ draws[0]) & fair;
        while rest != 0 {
            let top = rest.ilog2() as usize;
            if basis[top] == 0 {
                basis[top] = rest;
                break;
            }
            rest ^= basis[top];
        }
    }
    basis.iter().map(|&row| u32::from(row != 0)).sum()
}

/// Does `work` for every item on all processors; the results are in the order of the items.
fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            done.push((index, work(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Tells a person who waits how far it is.
fn progress(message: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("husk-chaff: {message}");
    }
}

fn effect(proof: &Proven, signal: i32) -> Effect {
    match proof.claim.slack {
        Some(_) => {
            Effect::Overwrites { at: proof.certificate.overwrites.iter().map(|write| write.at).collect() }
        }
        None => Effect::Crashes { at: proof.certificate.crashes.clone(), signal },
    }
}

fn proof_in_words(proof: &Proven) -> String {
    let certificate = &proof.certificate;
    let what = match proof.claim.slack {
        Some((object, slack)) => {
            let low = certificate.overwrites.iter().map(|write| write.low).min().unwrap_or(0);
            let high = certificate.overwrites.iter().map(|write| write.high).max().unwrap_or(0);
            format!("bytes {low} to {high} of the frame or block are written; object {object}, slack {slack}")
        }
        None => "every access that the value moves is below 64 KiB or above the lower canonical half".into(),
    };
    format!("{what}; {} paths, {} questions to z3", certificate.paths, certificate.questions)
}

fn name_of(function: FunctionValue<'_>) -> String {
    function.get_name().to_string_lossy().into_owned()
}

/// All numbered values of a module, by number.
fn values<'ctx>(module: &Module<'ctx>) -> Vec<(FunctionValue<'ctx>, InstructionValue<'ctx>)> {
    module
        .get_functions()
        .flat_map(|function| instrument::numbered(function).into_iter().map(move |value| (function, value)))
        .collect()
}

/// Calls a bug's entry with a value, behind that value's computation.
pub(crate) fn call<'ctx>(
    context: &'ctx Context,
    instruction: InstructionValue<'ctx>,
    entry: FunctionValue<'ctx>,
    width: u32,
) -> Result<()> {
    let builder = context.create_builder();
    builder.position_before(&instrument::after(instruction).context("nothing follows the value")?);
    let value = instrument::int_result(instruction).context("not an integer")?;
    let kind = context.custom_width_int_type(width.try_into()?).map_err(anyhow::Error::msg)?;
    let value = if value.get_type().get_bit_width() < width {
        builder.build_int_z_extend(value, kind, "")?
    } else {
        value
    };
    builder.build_call(entry, &[value.into()], "")?;
    Ok(())
}

/// Gives every function a place in the program: the program's own in their order, those of bugs anywhere among them.
fn arrange(module: &Module<'_>, bugs: &BTreeSet<String>, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x6c61_796f_7574);
    let defined: Vec<FunctionValue<'_>> =
        module.get_functions().filter(|function| function.count_basic_blocks() > 0).collect();
    let total = defined.len();
    for (index, function) in defined.iter().enumerate() {
        if function.get_section().is_some() {
            continue;
        }
        let (place, minor) = if bugs.contains(&name_of(*function)) {
            (random.random_range(0..total), random.random_range(1..1000))
        } else {
            (index, 0)
        };
        // The linker's own script sorts sections of this name.
        function.set_section(Some(&format!(".text.sorted.{place:08}.{minor:04}")));
    }
}

/// An expression for the solver.
fn formula(expression: &Expression, bytes: &BTreeMap<u64, BV>) -> BV {
    match expression {
        Expression::Byte(offset) => bytes[offset].clone(),
        Expression::Constant { width, value } => BV::from_u64(*value, *width),
        Expression::Operation { name, width, operands } => {
            let a = formula(&operands[0], bytes);
            let fit = |value: &BV, width: u32| {
                let own = value.get_size();
                if own < width { value.zero_ext(width - own) } else { value.extract(width - 1, 0) }
            };
            let Some(second) = operands.get(1) else {
                return match name.as_str() {
                    "sext" => a.sign_ext(width.saturating_sub(a.get_size())),
                    _ => fit(&a, *width),
                };
            };
            let b = formula(second, bytes);
            let result = match name.as_str() {
                "concat" => b.concat(&a),
                "extract" => {
                    let low = u32::try_from(b.as_u64().unwrap_or(0) * 8).unwrap_or(0);
                    a.extract((low + 7).min(a.get_size() - 1), low)
                }
                "add" => a + b,
                "sub" => a - b,
                "mul" => a * b,
                "and" => a & b,
                "or" => a | b,
                "xor" => a ^ b,
                "shl" => a.bvshl(b),
                "lshr" => a.bvlshr(b),
                _ => a.bvashr(b),
            };
            fit(&result.simplify(), *width)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_sign_and_rare_bits_are_not_counted() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut draws = |of: fn(u32, u32) -> u64| -> Vec<u64> {
            (0..DRAWS).map(|_| of(random.random(), random.random())).collect()
        };
        assert_eq!(independent_bits(&draws(|a, _| a.into())), 32);
        assert_eq!(independent_bits(&draws(|a, b| u64::from(a) << 32 | u64::from(b))), 64);
        assert_eq!(independent_bits(&draws(|a, _| i64::from(a as i16) as u64)), 16);
        assert_eq!(independent_bits(&draws(|a, _| u64::from(a & 0xff) * 0x0101)), 8);
        assert!(independent_bits(&draws(|a, b| u64::from(a & b & (b >> 3)))) <= 6);
        assert_eq!(independent_bits(&draws(|_, _| 7)), 0);
    }
}

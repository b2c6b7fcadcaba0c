//! The kvm tender: one guest in a hardware virtual machine.
//!
//! `run` creates the machine, gives up every right it does not need, and enters the guest, whose first instruction runs in
//! ring 3 of 64-bit mode with page tables of the tender's making. From then on it only acts on exits: hypercalls
//! (`calls`), kicks and ticks (`vcpu`). Everything a guest says is hostile: it is copied once and checked on the copy.
//! There is no libc and no std below: the program that links this may be any static executable.
#![cfg_attr(not(test), no_std)]

mod calls;
mod host;
mod kvm;
mod memory;
pub mod seal;
mod vcpu;

pub use kvm::{CPUID_MAX, Cpuid, CpuidEntry};
pub use vcpu::supported_cpuid;

use calls::Clock;
use core::fmt;
use husk_abi::boot::Boot;
use husk_tender::config::{self, Config};
use memory::{Image, Memory};
use syscalls::{Errno, Sysno};

/// What the kvm tender needs to know beyond `husk_tender::config::Config`.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The read-only part of the kernel image.
    pub text: &'a [u8],
    /// What `supported_cpuid` gave earlier on this host; asked again when absent, which takes KVM a third of a millisecond
    /// where CPUID itself leaves to a hypervisor.
    pub cpuid: Option<&'a Cpuid>,
}

/// Why a guest could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// /dev/kvm cannot be opened.
    NoKvm(Errno),
    /// KVM lacks an extension.
    KvmTooOld(&'static str),
    /// A host call failed before sealing.
    Host(&'static str, Errno),
    /// The kernel image is none.
    KernelImage,
    /// The configuration cannot be met.
    Config(&'static str),
}

/// What a host error means.
fn text(errno: Errno) -> &'static str {
    errno.description().or(errno.name()).unwrap_or("unknown error")
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKvm(errno) => write!(out, "/dev/kvm: {}", text(*errno)),
            Self::KvmTooOld(what) => write!(out, "this KVM has no {what}"),
            Self::Host(what, errno) => write!(out, "{what}: {}", text(*errno)),
            Self::KernelImage => write!(out, "the kernel image is damaged or of another version"),
            Self::Config(what) => write!(out, "{what}"),
        }
    }
}

/// Opens KVM.
fn open_kvm() -> Result<i32, Error> {
    use linux_raw_sys::general::{AT_FDCWD, O_CLOEXEC, O_RDWR};
    let path = c"/dev/kvm".as_ptr() as usize;
    let flags = (O_RDWR | O_CLOEXEC) as usize;
    // SAFETY: the path is a C string.
    let result = unsafe { host::call(Sysno::openat, [AT_FDCWD as usize, path, flags, 0, 0, 0]) };
    result.map(|fd| fd as i32).map_err(Error::NoKvm)
}

/// Whether this host's KVM can run guests, found out by making a machine and letting it go.
pub fn check() -> Result<(), Error> {
    let kvm = open_kvm()?;
    let made = vcpu::check_extensions(kvm).and_then(|()| {
        // SAFETY: machine type 0, no pointer.
        let vm = unsafe { host::ioctl(kvm, kvm::CREATE_VM, 0) };
        vm.map_err(|errno| Error::Host("KVM_CREATE_VM", errno))
    });
    for fd in made.into_iter().chain([kvm as usize]) {
        // SAFETY: the descriptors were made above, and nobody else knows them.
        let _ = unsafe { host::call(Sysno::close, [fd, 0, 0, 0, 0, 0]) };
    }
    made.map(|_| ())
}

/// Runs a guest to its end: the process exits with the guest's code, or 125 when the guest's kernel breaks down. Returns
/// only when the guest could not be started. The calling process must have a single thread; all of it becomes the guest.
pub fn run(config: &Config<'_>, machine: &Machine<'_>) -> Error {
    match start(config, machine) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn start(config: &Config<'_>, machine: &Machine<'_>) -> Result<core::convert::Infallible, Error> {
    let cpus = config.cpus as usize;
    if !(1..=husk_abi::layout::CPUS_MAX).contains(&cpus) {
        return Err(Error::Config("a guest has 1 to 64 vCPUs"));
    }
    let image = Image::new(machine.text, config.kernel.data)?;
    let kvm = open_kvm()?;
    vcpu::check_extensions(kvm)?;
    // SAFETY: machine type 0, no pointer.
    let vm = unsafe { host::ioctl(kvm, kvm::CREATE_VM, 0) }
        .map_err(|errno| Error::Host("KVM_CREATE_VM", errno))? as i32;

    let arena_len = (config.memory as usize).next_multiple_of(memory::LARGE_PAGE);
    let mut memory =
        Memory::new(&image, arena_len, config.root(), config.root_len as usize, config.ring, cpus)?;
    let (all, len) = memory.all();
    let region =
        kvm::MemoryRegion { slot: 0, flags: 0, guest_physical: 0, len: len as u64, host: all as u64 };
    // SAFETY: the region describes memory that stays mapped for the life of the process.
    unsafe { host::ioctl(vm, kvm::SET_USER_MEMORY_REGION, &raw const region as usize) }
        .map_err(|errno| Error::Host("KVM_SET_USER_MEMORY_REGION", errno))?;

    let asked;
    let cpuid = match machine.cpuid {
        Some(cpuid) => cpuid,
        None => {
            asked = vcpu::ask_cpuid(kvm)?;
            &asked
        }
    };
    let first = if config.snapshot.is_some() { image.header.restore } else { image.header.start };
    let vcpus = vcpu::create(kvm, vm, cpuid, &image.header, first, &memory, cpus)?;
    let mut clock = Clock::default();
    let mut complete = |boot: &mut Boot| {
        boot.tender = husk_abi::boot::TENDER_KVM;
        boot.arena_len = arena_len as u64;
        boot.arena_fd = -1;
        boot.root_fd = -1;
        boot.record_fd = config.record_fd.map_or(-1, |_| husk_abi::record::KVM_DESCRIPTOR as i32);
        if config.trace_fd.is_some() {
            boot.trace_fd = husk_abi::gate::TRACE as i32;
        }
        if config.wish_fd.is_some() {
            boot.wish_fd = husk_abi::gate::WISH as i32;
        }
        boot.xsave_mask = vcpu::xsave_mask(cpuid);
        clock = Clock::from_boot(boot);
    };
    let written = config::write_boot(memory.boot(), config, &mut complete);
    written.map_err(|_| Error::Config("arguments and environment do not fit into the boot block"))?;
    let used = memory.close_boot()?;
    if let Some(snapshot) = &config.snapshot {
        memory.restore(snapshot)?;
        vcpus.iter().for_each(|vcpu| vcpu.forget_kernel());
        config::renew_boot(memory.boot(), config, |boot| {
            complete(boot);
            boot.arena_used = used;
        });
    }
    vcpu::enter(vcpus, memory, clock, config)
}

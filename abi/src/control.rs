//! The control socket: what the other end of a guest's control descriptor can ask, and what the kernel answers.
//!
//! The socket keeps message boundaries (SOCK_SEQPACKET). A request is one message; an answer is one or more, each a
//! `Record` and up to `PAYLOAD_MAX` bytes. A park or a snapshot stops the guest until `Verb::Resume` or `Verb::Stop`. Both
//! sides read the other's bytes as hostile: the kernel shares its memory with the application.

/// Host signal that says that a request has arrived: the descriptor is set to send it to the thread of vCPU 0.
pub const SIGNAL: u32 = linux_raw_sys::general::SIGPWR;

/// Most bytes of memory in one message.
pub const PAYLOAD_MAX: usize = 16 * crate::layout::PAGE_SIZE;
/// Most bytes of a message.
pub const MESSAGE_MAX: usize = Record::LEN + PAYLOAD_MAX;

const MAGIC: u32 = u32::from_le_bytes(*b"husk");

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])* $variant = $number,)*
        }

        impl $name {
            fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What can be asked.
    Verb {
        /// Stop all tasks at safe points: `Parked`.
        Park = 1,
        /// Go on, parked or not: `Resumed` with the request's value.
        Resume = 2,
        /// Park, then all memory: `Parked`, `Boot`, `Arena`..., (`Process`, `Memory`...)..., `End`.
        Snapshot = 3,
        /// End the guest; the value is its exit code.
        Stop = 4,
    }
}

numbered! {
    /// What is answered.
    Kind {
        /// All tasks have stopped. `a`: CLOCK_MONOTONIC of the guest, ns.
        Parked = 1,
        /// The guest runs. `a`: the value of the request.
        Resumed = 2,
        /// The boot block. `a`: offset in it.
        Boot = 3,
        /// Pages of the arena. `a`: offset in it.
        Arena = 4,
        /// What follows belongs to another process's memory. `a`: the index of its first vCPU.
        Process = 5,
        /// Private pages of a process. `a`: their address.
        Memory = 6,
        /// All was sent. `a`: bytes of arena and private pages.
        End = 7,
        /// The request was not understood, or could not be met. `a`: error number.
        Failed = 8,
    }
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub verb: Verb,
    pub value: u64,
}

impl Request {
    pub const LEN: usize = 16;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.verb as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    /// `None` when the message is no request.
    pub fn from_bytes(message: &[u8]) -> Option<Self> {
        let message: &[u8; Self::LEN] = message.try_into().ok()?;
        let (magic, verb) = (word32(message, 0), word32(message, 4));
        (magic == MAGIC).then_some(())?;
        Some(Self { verb: Verb::from_u32(verb)?, value: word64(message, 8) })
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: Kind,
    pub a: u64,
}

impl Record {
    pub const LEN: usize = 16;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&self.a.to_le_bytes());
        bytes
    }

    /// The record at the front of a message, and its payload.
    pub fn from_bytes(message: &[u8]) -> Option<(Self, &[u8])> {
        let (head, payload) = message.split_first_chunk::<{ Self::LEN }>()?;
        (word32(head, 0) == MAGIC && payload.len() <= PAYLOAD_MAX).then_some(())?;
        Some((Self { kind: Kind::from_u32(word32(head, 4))?, a: word64(head, 8) }, payload))
    }
}

pub(crate) fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

pub(crate) fn word64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

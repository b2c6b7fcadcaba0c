//! The control socket's requests, and snapshots of a parked guest.
//!
//! A request arrives by a host signal (`look`). Those that need the guest at rest wait until it is parked; vCPU 0 then
//! serves them (`serve`) until one of them lets the guest go on. `save` sends memory, `restore` brings back what lies
//! outside of the arena.

pub(crate) mod restore;
mod save;
#[cfg(test)]
mod tests;

pub(crate) use save::{is_equal, send_block, take_turn};

use crate::task::park;
use crate::time::monotonic_ns;
use husk_abi::control::{Kind, Record, Request, Verb};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::{control, cpu};

/// The request that waits for the guest to be parked.
static PENDING: Global<KCell<Option<Request>>> = Global::new(KCell::default);

fn answer(kind: Kind, a: u64) -> bool {
    control::send(&Record { kind, a }.to_bytes())
}

/// The next request; what is none is answered here.
fn next() -> Option<Request> {
    let mut message = [0; Request::LEN + 1];
    while let Some(len) = control::receive(&mut message) {
        match Request::from_bytes(&message[..len.min(message.len())]) {
            Some(request) => return Some(request),
            None => answer(Kind::Failed, u64::from(linux_raw_sys::errno::EINVAL)),
        };
    }
    None
}

/// Reads requests of a guest whose tasks run.
pub(crate) fn look() {
    while let Some(request) = next() {
        match request.verb {
            Verb::Park | Verb::Snapshot => {
                PENDING.set(Some(request));
                park::begin();
                // The rest is for the parked guest.
                return;
            }
            Verb::Resume => {
                PENDING.set(None);
                park::end();
                answer(Kind::Resumed, request.value);
            }
            Verb::Stop => cpu::exit_guest(request.value as i32),
        }
    }
}

/// Serves requests on vCPU 0 of a parked guest until there is none, or the guest goes on.
pub(crate) fn serve() {
    while let Some(request) = PENDING.take().or_else(next) {
        match request.verb {
            Verb::Park => {
                answer(Kind::Parked, monotonic_ns());
            }
            Verb::Snapshot => {
                if answer(Kind::Parked, monotonic_ns()) {
                    save::send_all();
                }
            }
            Verb::Resume => {
                park::end();
                answer(Kind::Resumed, request.value);
                return;
            }
            Verb::Stop => cpu::exit_guest(request.value as i32),
        }
    }
}

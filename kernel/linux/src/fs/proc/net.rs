//! /proc/net: what the network shows of itself, in its own words.

use crate::fs::pseudo::{Fixed, Item};
use crate::net::report;

pub(super) fn entries() -> Fixed {
    report::FILES.iter().fold(Fixed::new(), |entries, name| {
        entries.with(name, Item::file(0o444, move || Ok(report::file(name).unwrap_or_default())))
    })
}

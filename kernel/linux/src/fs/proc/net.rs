//! /proc/net: what the network shows of itself.

use super::text;
use crate::fs::pseudo::Fixed;
use crate::net::interface;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

pub(super) fn entries() -> Fixed {
    Fixed::new()
        .with("dev", text(dev))
        .with("if_inet6", text(if_inet6))
        .with("route", text(route))
        .with("arp", text(arp))
}

/// Traffic is not counted.
fn dev() -> String {
    let mut out = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
    );
    for interface in &interface::ALL {
        let _ = writeln!(
            out,
            "{:>6}: {:7} {:7}    0    0    0     0          0         0 {:8} {:7}    0    0    0     0       0          0",
            interface.name, 0, 0, 0, 0
        );
    }
    out
}

fn if_inet6() -> String {
    let mut out = String::new();
    for interface in &interface::ALL {
        for (address, prefix) in interface.ipv6 {
            let hex: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
            // Scope 0x10 is the host; flag 0x80 says that the address is permanent.
            let scope = if address.is_loopback() { 0x10 } else { 0 };
            let _ = writeln!(
                out,
                "{hex} {:02x} {prefix:02x} {scope:02x} 80 {:>8}",
                interface.index, interface.name
            );
        }
    }
    out
}

fn route() -> String {
    String::from("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n")
}

fn arp() -> String {
    String::from("IP address       HW type     Flags       HW address            Mask     Device\n")
}

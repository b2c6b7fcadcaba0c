//! The options of SOL_SOCKET.
//!
//! An option that the kernel would not act on is ENOPROTOOPT, so that programs can tell.

use super::{Common, Protocol};
use crate::errno::Errno;
use crate::task;
use crate::task::cred::{CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN};
use alloc::vec::Vec;
use linux_raw_sys::net as raw;
use linux_raw_sys::net::{AF_INET, AF_INET6, SOL_SOCKET};

/// Default size of a buffer, and the largest that may be asked for: what Linux has in net.core.*mem_*.
const BUFFER_DEFAULT: usize = 212_992;
const BUFFER_MAX: usize = 4 << 20;
/// What the kernel adds to a reported buffer for its own use: Linux doubles what is asked for.
const SEND_MIN: usize = 4608;
const RECEIVE_MIN: usize = 2304;

/// Options common to all families. Timeouts are ns; `None` is no timeout.
#[derive(Clone, Debug)]
pub struct Options {
    pub send_buffer: usize,
    pub receive_buffer: usize,
    pub send_timeout: Option<u64>,
    pub receive_timeout: Option<u64>,
    pub pass_credentials: bool,
    pub timestamp: Option<Timestamp>,
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub keep_alive: bool,
    pub broadcast: bool,
    pub oob_inline: bool,
    pub priority: u32,
    pub receive_low_water: u32,
    /// Seconds that close(2) waits for data to be taken: SO_LINGER.
    pub linger: Option<u32>,
    /// The interface that SO_BINDTODEVICE names.
    pub device: Option<Vec<u8>>,
}

/// Which control message tells when a datagram came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    Microseconds,
    Nanoseconds,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            send_buffer: BUFFER_DEFAULT,
            receive_buffer: BUFFER_DEFAULT,
            send_timeout: None,
            receive_timeout: None,
            pass_credentials: false,
            timestamp: None,
            reuse_address: false,
            reuse_port: false,
            keep_alive: false,
            broadcast: false,
            oob_inline: false,
            priority: 0,
            receive_low_water: 1,
            linger: None,
            device: None,
        }
    }
}

/// An `int` option.
pub fn int(value: &[u8]) -> Result<i32, Errno> {
    let bytes = value.get(..4).ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(bytes.try_into().map_err(|_| Errno::EINVAL)?))
}

/// As the value of getsockopt(2).
pub fn int_value(value: impl Into<i64>) -> Vec<u8> {
    // Option values are small; the few that use the sign bit mean its bit pattern.
    (value.into() as i32).to_ne_bytes().to_vec()
}

fn long(value: &[u8], index: usize) -> Result<i64, Errno> {
    let bytes = value.get(index * 8..index * 8 + 8).ok_or(Errno::EINVAL)?;
    Ok(i64::from_ne_bytes(bytes.try_into().map_err(|_| Errno::EINVAL)?))
}

/// A `struct timeval` as a timeout: zero is none.
fn timeout(value: &[u8]) -> Result<Option<u64>, Errno> {
    let (seconds, micros) = (long(value, 0)?, long(value, 1)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    let Ok(seconds) = u64::try_from(seconds) else { return Ok(None) };
    Ok(match seconds.saturating_mul(1_000_000_000).saturating_add(micros as u64 * 1000) {
        0 => None,
        ns => Some(ns),
    })
}

fn timeout_value(timeout: Option<u64>) -> Vec<u8> {
    let ns = timeout.unwrap_or(0);
    let mut value = ((ns / 1_000_000_000) as i64).to_ne_bytes().to_vec();
    value.extend_from_slice(&((ns % 1_000_000_000 / 1000) as i64).to_ne_bytes());
    value
}

/// The control message of SOL_SOCKET that tells the time of arrival: type and data.
pub fn timestamp(kind: Timestamp, realtime: u64) -> (u32, Vec<u8>) {
    let (number, unit) = match kind {
        Timestamp::Microseconds => (raw::SO_TIMESTAMP_OLD, 1000),
        Timestamp::Nanoseconds => (raw::SO_TIMESTAMPNS_OLD, 1),
    };
    let fields = [realtime / 1_000_000_000, realtime % 1_000_000_000 / unit];
    (number, fields.into_iter().flat_map(u64::to_ne_bytes).collect())
}

/// setsockopt(2) at SOL_SOCKET.
pub fn set(protocol: &dyn Protocol, name: u32, value: &[u8]) -> Result<(), Errno> {
    let common = protocol.common();
    if name == raw::SO_BINDTODEVICE {
        return bind_to_device(common, value);
    }
    let number = int(value)?;
    let on = number != 0;
    let cred = task::current().cred();
    let mut options = common.options.borrow_mut();
    match name {
        raw::SO_SNDBUF | raw::SO_SNDBUFFORCE | raw::SO_RCVBUF | raw::SO_RCVBUFFORCE => {
            let force = matches!(name, raw::SO_SNDBUFFORCE | raw::SO_RCVBUFFORCE);
            if force && !cred.capable(CAP_NET_ADMIN) {
                return Err(Errno::EPERM);
            }
            let most = if force { i32::MAX as usize / 2 } else { BUFFER_MAX };
            let doubled = (number as u32 as usize).min(most) * 2;
            if matches!(name, raw::SO_SNDBUF | raw::SO_SNDBUFFORCE) {
                options.send_buffer = doubled.max(SEND_MIN);
            } else {
                options.receive_buffer = doubled.max(RECEIVE_MIN);
            }
        }
        raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => options.receive_timeout = timeout(value)?,
        raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => options.send_timeout = timeout(value)?,
        raw::SO_PASSCRED if common.domain == raw::AF_UNIX || common.domain == raw::AF_NETLINK => {
            options.pass_credentials = on;
        }
        raw::SO_PASSCRED => return Err(Errno::EOPNOTSUPP),
        // Bytes of a stream have no time of arrival.
        raw::SO_TIMESTAMP_OLD | raw::SO_TIMESTAMPNS_OLD
            if common.kind == raw::SOCK_STREAM && common.domain != raw::AF_UNIX =>
        {
            return Err(Errno::ENOPROTOOPT);
        }
        raw::SO_TIMESTAMP_OLD => options.timestamp = on.then_some(Timestamp::Microseconds),
        raw::SO_TIMESTAMPNS_OLD => options.timestamp = on.then_some(Timestamp::Nanoseconds),
        raw::SO_REUSEADDR => options.reuse_address = on,
        raw::SO_REUSEPORT => {
            if on && !matches!(common.domain, AF_INET | AF_INET6) {
                return Err(Errno::EOPNOTSUPP);
            }
            options.reuse_port = on;
        }
        raw::SO_KEEPALIVE => options.keep_alive = on,
        raw::SO_BROADCAST => options.broadcast = on,
        raw::SO_OOBINLINE => options.oob_inline = on,
        // Only local delivery exists, which never routes.
        raw::SO_DONTROUTE => {}
        raw::SO_PRIORITY => {
            if !(0..=6).contains(&number) && !cred.capable(CAP_NET_ADMIN) {
                return Err(Errno::EPERM);
            }
            options.priority = number as u32;
        }
        raw::SO_RCVLOWAT => options.receive_low_water = number.max(1) as u32,
        raw::SO_LINGER => {
            let seconds = int(value.get(4..).unwrap_or_default())?;
            options.linger = on.then_some(seconds as u32);
        }
        raw::SO_DEBUG if on && !cred.capable(CAP_SYS_ADMIN) => return Err(Errno::EACCES),
        raw::SO_DEBUG if !on => {}
        raw::SO_TYPE | raw::SO_PROTOCOL | raw::SO_DOMAIN | raw::SO_ERROR => return Err(Errno::ENOPROTOOPT),
        _ => {
            drop(options);
            return protocol.set_option(SOL_SOCKET, name, value);
        }
    }
    Ok(())
}

/// SO_BINDTODEVICE: only `lo` exists.
fn bind_to_device(common: &Common, value: &[u8]) -> Result<(), Errno> {
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut options = common.options.borrow_mut();
    if options.device.is_some() && !task::current().cred().capable(CAP_NET_RAW) {
        return Err(Errno::EPERM);
    }
    options.device = match name {
        b"" => None,
        b"lo" => Some(name.to_vec()),
        _ => return Err(Errno::ENODEV),
    };
    Ok(())
}

/// getsockopt(2) at SOL_SOCKET.
pub fn get(protocol: &dyn Protocol, name: u32) -> Result<Vec<u8>, Errno> {
    let common = protocol.common();
    if name == raw::SO_ERROR {
        return Ok(int_value(common.take_error().map_or(0, |error| error.0)));
    }
    let options = common.options.borrow();
    Ok(match name {
        raw::SO_TYPE => int_value(common.kind),
        raw::SO_DOMAIN => int_value(common.domain),
        raw::SO_PROTOCOL => int_value(common.protocol),
        raw::SO_SNDBUF => int_value(options.send_buffer as i64),
        raw::SO_RCVBUF => int_value(options.receive_buffer as i64),
        raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => timeout_value(options.receive_timeout),
        raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => timeout_value(options.send_timeout),
        raw::SO_PASSCRED => int_value(options.pass_credentials),
        raw::SO_TIMESTAMP_OLD => int_value(options.timestamp == Some(Timestamp::Microseconds)),
        raw::SO_TIMESTAMPNS_OLD => int_value(options.timestamp == Some(Timestamp::Nanoseconds)),
        raw::SO_REUSEADDR => int_value(options.reuse_address),
        raw::SO_REUSEPORT => int_value(options.reuse_port),
        raw::SO_KEEPALIVE => int_value(options.keep_alive),
        raw::SO_BROADCAST => int_value(options.broadcast),
        raw::SO_OOBINLINE => int_value(options.oob_inline),
        raw::SO_DONTROUTE | raw::SO_DEBUG => int_value(0),
        raw::SO_PRIORITY => int_value(options.priority),
        raw::SO_RCVLOWAT => int_value(options.receive_low_water),
        raw::SO_SNDLOWAT => int_value(1),
        raw::SO_LINGER => {
            let mut value = int_value(options.linger.is_some());
            value.extend(int_value(options.linger.unwrap_or(0)));
            value
        }
        raw::SO_BINDTODEVICE => match &options.device {
            Some(device) => [device, &b"\0"[..]].concat(),
            None => Vec::new(),
        },
        _ => {
            drop(options);
            return protocol.option(SOL_SOCKET, name);
        }
    })
}

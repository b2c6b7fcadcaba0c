//! Character devices: who serves which numbers, and the ones that are memory only.

use super::{Stat, device_number, major_minor};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{File, OpenFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::S_IFCHR;

/// Opens a device: minor number and the O_* flags of open(2), O_NOCTTY among them.
pub type OpenDevice = fn(minor: u32, flags: u32) -> Result<Arc<dyn File>, Errno>;

struct Driver {
    major: u32,
    minors: RangeInclusive<u32>,
    open: OpenDevice,
}

/// Major number of the memory devices.
const MEMORY: u32 = 1;

static DRIVERS: Global<KCell<Vec<Driver>>> = Global::new(|| {
    let minors = MemoryDevice::ALL.iter().map(|device| *device as u32);
    let drivers =
        minors.map(|minor| Driver { major: MEMORY, minors: minor..=minor, open: open_memory }).collect();
    KCell::new(drivers)
});

/// Makes `open` serve a range of device numbers.
pub fn register(major: u32, minors: RangeInclusive<u32>, open: OpenDevice) {
    DRIVERS.borrow_mut().push(Driver { major, minors, open });
}

/// Opens the character device with this number; ENXIO if nobody serves it.
pub(super) fn open(device: u64, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let (major, minor) = major_minor(device);
    let open = {
        let drivers = DRIVERS.borrow();
        let driver = drivers.iter().find(|driver| driver.major == major && driver.minors.contains(&minor));
        driver.ok_or(Errno::ENXIO)?.open
    };
    open(minor, flags)
}

/// The devices behind /dev/null and its like, by minor number.
#[derive(Clone, Copy)]
enum MemoryDevice {
    Null = 3,
    Zero = 5,
    Full = 7,
    Random = 8,
    Urandom = 9,
}

impl MemoryDevice {
    const ALL: [Self; 5] = [Self::Null, Self::Zero, Self::Full, Self::Random, Self::Urandom];
}

fn open_memory(minor: u32, _flags: u32) -> Result<Arc<dyn File>, Errno> {
    let device = MemoryDevice::ALL.into_iter().find(|device| *device as u32 == minor);
    Ok(Arc::new(device.ok_or(Errno::ENXIO)?))
}

impl File for MemoryDevice {
    fn read(&self, _of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        match self {
            Self::Null => Ok(0),
            Self::Zero | Self::Full => sink.put_zeros(sink.left()),
            Self::Random | Self::Urandom => {
                let mut done = 0;
                let mut chunk = [0; 256];
                while sink.left() > 0 {
                    let len = chunk.len().min(sink.left());
                    husk_machine::random::fill(&mut chunk[..len]);
                    match sink.put(&chunk[..len]) {
                        Ok(put) => done += put,
                        Err(error) if done == 0 => return Err(error),
                        Err(_) => break,
                    }
                }
                Ok(done)
            }
        }
    }

    fn write(&self, _of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        match self {
            Self::Full => Err(Errno::ENOSPC),
            // What is written to the random devices is not needed: the generator is seeded by the host.
            Self::Null | Self::Zero | Self::Random | Self::Urandom => Ok(source.left()),
        }
    }

    fn seek(&self, _of: &OpenFile, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        Ok(0)
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        use linux_raw_sys::ioctl::RNDGETENTCNT;
        match self {
            Self::Random | Self::Urandom if command == RNDGETENTCNT => {
                crate::mem::user::write(argument, &256i32)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat {
            mode: S_IFCHR | 0o666,
            nlink: 1,
            rdev: device_number(MEMORY, *self as u32),
            block_size: 4096,
            ..Stat::default()
        })
    }
}

/// Whether mappings of the object are anonymous memory, as those of /dev/zero are.
pub fn is_zero(object: &dyn File) -> bool {
    matches!(object.downcast::<MemoryDevice>(), Some(MemoryDevice::Zero))
}

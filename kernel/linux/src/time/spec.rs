//! `struct timespec` and `struct timeval`, and nanoseconds.

use crate::errno::Errno;
use crate::mem::user;

pub const NS_PER_S: u64 = 1_000_000_000;

/// Seconds and nanoseconds, as they came from an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timespec {
    pub sec: i64,
    pub nsec: i64,
}

impl Timespec {
    pub fn from_ns(nanoseconds: u64) -> Self {
        Self { sec: (nanoseconds / NS_PER_S) as i64, nsec: (nanoseconds % NS_PER_S) as i64 }
    }

    pub fn read(address: usize) -> Result<Self, Errno> {
        let [sec, nsec] = user::read(address)?;
        Ok(Self { sec, nsec })
    }

    pub fn write(self, address: usize) -> Result<(), Errno> {
        user::write(address, &[self.sec, self.nsec])
    }

    /// As nanoseconds, at most what 64 bits hold; EINVAL unless not negative and normal.
    pub fn duration_ns(self) -> Result<u64, Errno> {
        match (u64::try_from(self.sec), u64::try_from(self.nsec)) {
            (Ok(sec), Ok(nsec @ 0..NS_PER_S)) => Ok(sec.saturating_mul(NS_PER_S).saturating_add(nsec)),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Seconds and microseconds, as they came from an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeval {
    pub sec: i64,
    pub usec: i64,
}

impl Timeval {
    pub fn from_ns(nanoseconds: u64) -> Self {
        Self { sec: (nanoseconds / NS_PER_S) as i64, usec: (nanoseconds % NS_PER_S / 1000) as i64 }
    }

    /// As nanoseconds; EINVAL unless not negative and normal.
    pub fn duration_ns(self) -> Result<u64, Errno> {
        match (u64::try_from(self.sec), u64::try_from(self.usec)) {
            (Ok(sec), Ok(usec @ 0..1_000_000)) => {
                Ok(sec.saturating_mul(NS_PER_S).saturating_add(usec * 1000))
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Timespec, Timeval};
    use crate::errno::Errno;

    #[test]
    fn only_normal_times_are_durations() {
        assert_eq!(Timespec { sec: 2, nsec: 5 }.duration_ns(), Ok(2_000_000_005));
        assert_eq!(Timespec { sec: i64::MAX, nsec: 0 }.duration_ns(), Ok(u64::MAX));
        for (sec, nsec) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(Timespec { sec, nsec }.duration_ns(), Err(Errno::EINVAL));
        }
        assert_eq!(Timeval { sec: 0, usec: 1_000_000 }.duration_ns(), Err(Errno::EINVAL));
        assert_eq!(
            Timespec::from_ns(Timespec { sec: 9, nsec: 7 }.duration_ns().unwrap()),
            Timespec { sec: 9, nsec: 7 }
        );
    }
}

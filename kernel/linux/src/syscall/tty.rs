//! vhangup(2). All else about terminals is ioctl(2).

use crate::errno::{Errno, SysResult};
use crate::task::Task;
use crate::task::cred::CAP_SYS_TTY_CONFIG;
use crate::tty::job;
use alloc::sync::Arc;

pub(super) fn vhangup(t: &Arc<Task>) -> SysResult {
    if !t.cred().capable(CAP_SYS_TTY_CONFIG) {
        return Err(Errno::EPERM);
    }
    job::hang_up_current();
    Ok(0)
}

//! How credentials change: setuid(2) and its kin, capset(2), execve(2), by the rules of capabilities(7).
//!
//! Each rule takes the credentials of a task and gives its new ones, or an error; nothing is changed in place.

use super::cred::{self, CAP_SETGID, CAP_SETPCAP, CAP_SETUID, Cred, Gid, Uid};
use crate::errno::Errno;
use linux_raw_sys::general as raw;

/// The id -1: "leave it as it is".
pub const KEEP: u32 = u32::MAX;

// Bits of `Cred::securebits`; the bit above each locks it.
pub const SECURE_NOROOT: u32 = 1 << 0;
pub const SECURE_NO_SETUID_FIXUP: u32 = 1 << 2;
pub const SECURE_KEEP_CAPS: u32 = 1 << 4;
pub const SECURE_KEEP_CAPS_LOCKED: u32 = 1 << 5;
pub const SECURE_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
/// The bits that mean something; of each pair, the lower is the setting and the upper its lock.
const SECURE_SETTINGS: u32 = 0b0101_0101;
const SECURE_LOCKS: u32 = 0b1010_1010;

const fn cap(capability: u32) -> u64 {
    1 << capability
}

/// Capabilities that belong to the file-system user id.
const FILE_SYSTEM_CAPS: u64 = cap(raw::CAP_CHOWN)
    | cap(raw::CAP_MKNOD)
    | cap(raw::CAP_DAC_OVERRIDE)
    | cap(raw::CAP_DAC_READ_SEARCH)
    | cap(raw::CAP_FOWNER)
    | cap(raw::CAP_FSETID)
    | cap(raw::CAP_LINUX_IMMUTABLE)
    | cap(raw::CAP_MAC_OVERRIDE);

/// The three sets that capset(2) changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

fn choose(wanted: u32, old: u32) -> u32 {
    if wanted == KEEP { old } else { wanted }
}

impl Cred {
    fn has_root(&self) -> bool {
        self.uid == 0 || self.euid == 0 || self.suid == 0
    }

    /// Capabilities follow the user ids: leaving root drops them, a change of the effective id switches them.
    fn with_caps_for(mut self, old: &Cred) -> Self {
        if self.securebits & SECURE_NO_SETUID_FIXUP != 0 {
            return self;
        }
        if old.has_root() && !self.has_root() {
            if self.securebits & SECURE_KEEP_CAPS == 0 {
                self.cap_permitted = 0;
                self.cap_effective = 0;
            }
            self.cap_ambient = 0;
        }
        if old.euid == 0 && self.euid != 0 {
            self.cap_effective = 0;
        }
        if old.euid != 0 && self.euid == 0 {
            self.cap_effective = self.cap_permitted;
        }
        self
    }

    /// setuid(2).
    pub fn set_uid(&self, uid: Uid) -> Result<Self, Errno> {
        let mut new = self.clone();
        if uid == KEEP {
            return Err(Errno::EINVAL);
        }
        if self.capable(CAP_SETUID) {
            (new.uid, new.suid) = (uid, uid);
        } else if uid != self.uid && uid != self.suid {
            return Err(Errno::EPERM);
        }
        (new.euid, new.fsuid) = (uid, uid);
        Ok(new.with_caps_for(self))
    }

    /// setreuid(2).
    pub fn set_reuid(&self, ruid: Uid, euid: Uid) -> Result<Self, Errno> {
        let mut new = self.clone();
        let free = self.capable(CAP_SETUID);
        let real = ruid == KEEP || ruid == self.uid || ruid == self.euid;
        let effective = euid == KEEP || [self.uid, self.euid, self.suid].contains(&euid);
        if !(free || real && effective) {
            return Err(Errno::EPERM);
        }
        new.uid = choose(ruid, self.uid);
        new.euid = choose(euid, self.euid);
        if ruid != KEEP || euid != KEEP && euid != self.uid {
            new.suid = new.euid;
        }
        new.fsuid = new.euid;
        Ok(new.with_caps_for(self))
    }

    /// setresuid(2).
    pub fn set_resuid(&self, ids: [Uid; 3]) -> Result<Self, Errno> {
        let own = [self.uid, self.euid, self.suid];
        if !self.capable(CAP_SETUID) && !ids.iter().all(|id| *id == KEEP || own.contains(id)) {
            return Err(Errno::EPERM);
        }
        let mut new = self.clone();
        [new.uid, new.euid, new.suid] = core::array::from_fn(|index| choose(ids[index], own[index]));
        new.fsuid = new.euid;
        Ok(new.with_caps_for(self))
    }

    /// setfsuid(2): an id that is not allowed changes nothing.
    pub fn set_fsuid(&self, id: Uid) -> Self {
        let mut new = self.clone();
        let own = [self.uid, self.euid, self.suid, self.fsuid];
        if id == KEEP || !own.contains(&id) && !self.capable(CAP_SETUID) {
            return new;
        }
        new.fsuid = id;
        if self.securebits & SECURE_NO_SETUID_FIXUP == 0 {
            if self.fsuid == 0 && id != 0 {
                new.cap_effective &= !FILE_SYSTEM_CAPS;
            } else if self.fsuid != 0 && id == 0 {
                new.cap_effective |= self.cap_permitted & FILE_SYSTEM_CAPS;
            }
        }
        new
    }

    /// setgid(2).
    pub fn set_gid(&self, gid: Gid) -> Result<Self, Errno> {
        let mut new = self.clone();
        if gid == KEEP {
            return Err(Errno::EINVAL);
        }
        if self.capable(CAP_SETGID) {
            (new.gid, new.sgid) = (gid, gid);
        } else if gid != self.gid && gid != self.sgid {
            return Err(Errno::EPERM);
        }
        (new.egid, new.fsgid) = (gid, gid);
        Ok(new)
    }

    /// setregid(2).
    pub fn set_regid(&self, rgid: Gid, egid: Gid) -> Result<Self, Errno> {
        let mut new = self.clone();
        let free = self.capable(CAP_SETGID);
        let real = rgid == KEEP || rgid == self.gid || rgid == self.egid;
        let effective = egid == KEEP || [self.gid, self.egid, self.sgid].contains(&egid);
        if !(free || real && effective) {
            return Err(Errno::EPERM);
        }
        new.gid = choose(rgid, self.gid);
        new.egid = choose(egid, self.egid);
        if rgid != KEEP || egid != KEEP && egid != self.gid {
            new.sgid = new.egid;
        }
        new.fsgid = new.egid;
        Ok(new)
    }

    /// setresgid(2).
    pub fn set_resgid(&self, ids: [Gid; 3]) -> Result<Self, Errno> {
        let own = [self.gid, self.egid, self.sgid];
        if !self.capable(CAP_SETGID) && !ids.iter().all(|id| *id == KEEP || own.contains(id)) {
            return Err(Errno::EPERM);
        }
        let mut new = self.clone();
        [new.gid, new.egid, new.sgid] = core::array::from_fn(|index| choose(ids[index], own[index]));
        new.fsgid = new.egid;
        Ok(new)
    }

    /// setfsgid(2): an id that is not allowed changes nothing.
    pub fn set_fsgid(&self, id: Gid) -> Self {
        let mut new = self.clone();
        let own = [self.gid, self.egid, self.sgid, self.fsgid];
        if id != KEEP && (own.contains(&id) || self.capable(CAP_SETGID)) {
            new.fsgid = id;
        }
        new
    }

    /// capset(2).
    pub fn set_caps(&self, sets: CapSets) -> Result<Self, Errno> {
        let CapSets { effective, permitted, inheritable } = sets;
        let may_inherit = self.cap_inheritable | self.cap_permitted;
        if !self.capable(CAP_SETPCAP) && inheritable & !may_inherit != 0
            || inheritable & !(self.cap_inheritable | self.cap_bounding) != 0
            || permitted & !self.cap_permitted != 0
            || effective & !permitted != 0
        {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            cap_effective: effective,
            cap_permitted: permitted,
            cap_inheritable: inheritable,
            cap_ambient: self.cap_ambient & permitted & inheritable,
            ..self.clone()
        })
    }

    /// prctl(PR_CAPBSET_DROP).
    pub fn drop_bounding(&self, capability: u32) -> Result<Self, Errno> {
        if !self.capable(CAP_SETPCAP) {
            return Err(Errno::EPERM);
        }
        Ok(Self { cap_bounding: self.cap_bounding & !cap(capability), ..self.clone() })
    }

    /// prctl(PR_CAP_AMBIENT_RAISE): only what is permitted and inheritable.
    pub fn raise_ambient(&self, capability: u32) -> Result<Self, Errno> {
        let both = self.cap_permitted & self.cap_inheritable;
        if both & cap(capability) == 0 || self.securebits & SECURE_NO_CAP_AMBIENT_RAISE != 0 {
            return Err(Errno::EPERM);
        }
        Ok(Self { cap_ambient: self.cap_ambient | cap(capability), ..self.clone() })
    }

    /// prctl(PR_SET_SECUREBITS): locks stay, and what is locked stays.
    pub fn set_securebits(&self, bits: u32) -> Result<Self, Errno> {
        let old = self.securebits;
        let locked = (old & SECURE_LOCKS) >> 1;
        if locked & (old ^ bits) != 0
            || old & SECURE_LOCKS & !bits != 0
            || bits & !(SECURE_SETTINGS | SECURE_LOCKS) != 0
            || !self.capable(CAP_SETPCAP)
        {
            return Err(Errno::EPERM);
        }
        Ok(Self { securebits: bits, ..self.clone() })
    }

    /// The credentials with which a program starts; `set_uid` and `set_gid` are those of a set-user-id or set-group-id
    /// file, unless PR_SET_NO_NEW_PRIVS or the mount forbids it. Files have no capabilities of their own.
    pub fn for_program(&self, set_uid: Option<Uid>, set_gid: Option<Gid>) -> Self {
        let mut new = self.clone();
        new.euid = set_uid.unwrap_or(self.euid);
        new.egid = set_gid.unwrap_or(self.egid);
        // A file of root's counts as if it had every capability.
        let root = self.securebits & SECURE_NOROOT == 0;
        let from_file = root && (new.uid == 0 || new.euid == 0);
        let privileged = set_uid.is_some() || set_gid.is_some();
        if privileged {
            new.cap_ambient = 0;
        }
        new.cap_permitted = new.cap_ambient;
        if from_file {
            new.cap_permitted |= self.cap_inheritable | self.cap_bounding;
        }
        new.cap_effective = if root && new.euid == 0 { new.cap_permitted } else { new.cap_ambient };
        new.securebits &= !SECURE_KEEP_CAPS;
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        new
    }
}

/// The number of a capability that exists, or EINVAL.
pub fn known(capability: u64) -> Result<u32, Errno> {
    match u32::try_from(capability) {
        Ok(number) if number < 64 && cap(number) & cred::CAP_ALL != 0 => Ok(number),
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::cred::CAP_ALL;
    use alloc::vec::Vec;

    fn root() -> Cred {
        (*Cred::new(0, 0)).clone()
    }

    fn user() -> Cred {
        (*Cred::new(1000, 1000)).clone()
    }

    fn uids(cred: &Cred) -> [Uid; 4] {
        [cred.uid, cred.euid, cred.suid, cred.fsuid]
    }

    #[test]
    fn leaving_root_for_good_drops_capabilities_unless_kept() {
        let new = root().set_uid(1000).expect("root may");
        assert_eq!((uids(&new), new.cap_permitted, new.cap_effective), ([1000; 4], 0, 0));
        let keeping = Cred { securebits: SECURE_KEEP_CAPS, ..root() };
        let new = keeping.set_resuid([1000; 3]).expect("root may");
        assert_eq!((new.cap_permitted, new.cap_effective), (CAP_ALL, 0));
        let fixed = Cred { securebits: SECURE_NO_SETUID_FIXUP, ..root() };
        assert_eq!(fixed.set_uid(5).expect("root may").cap_effective, CAP_ALL);
    }

    #[test]
    fn a_set_user_id_program_switches_back_and_forth() {
        let program =
            Cred { euid: 0, suid: 0, fsuid: 0, cap_permitted: CAP_ALL, cap_effective: CAP_ALL, ..user() };
        let away = program.set_resuid([KEEP, 1000, KEEP]).expect("own id");
        assert_eq!(
            (uids(&away), away.cap_effective, away.cap_permitted),
            ([1000, 1000, 0, 1000], 0, CAP_ALL)
        );
        let back = away.set_resuid([KEEP, 0, KEEP]).expect("saved id");
        assert_eq!((back.euid, back.cap_effective), (0, CAP_ALL));
        let swapped = away.set_reuid(KEEP, 0).expect("saved id");
        assert_eq!(uids(&swapped), [1000, 0, 0, 0]);
    }

    #[test]
    fn users_reach_only_their_own_ids() {
        let cred = Cred { suid: 7, sgid: 8, ..user() };
        assert_eq!(cred.set_uid(0).err(), Some(Errno::EPERM));
        assert_eq!(uids(&cred.set_uid(7).expect("saved")), [1000, 7, 7, 7]);
        assert_eq!(cred.set_reuid(7, KEEP).err(), Some(Errno::EPERM), "the saved id is no real one");
        assert_eq!(cred.set_resuid([7, 1000, 0]).err(), Some(Errno::EPERM));
        assert_eq!(cred.set_gid(9).err(), Some(Errno::EPERM));
        assert_eq!(cred.set_regid(KEEP, 8).map(|new| (new.egid, new.sgid, new.fsgid)), Ok((8, 8, 8)));
        assert_eq!(cred.set_uid(KEEP).err(), Some(Errno::EINVAL));
        assert_eq!(cred.set_fsuid(0).fsuid, 1000);
    }

    #[test]
    fn the_file_system_id_takes_its_capabilities_along() {
        let away = root().set_fsuid(1000);
        assert_eq!((away.fsuid, away.cap_effective), (1000, CAP_ALL & !FILE_SYSTEM_CAPS));
        assert_eq!(away.set_fsuid(0).cap_effective, CAP_ALL);
    }

    #[test]
    fn capset_only_gives_away() {
        let cred = Cred { cap_permitted: 0b1111, cap_effective: 0b0011, cap_inheritable: 0, ..user() };
        let sets = |effective, permitted, inheritable| CapSets { effective, permitted, inheritable };
        assert!(cred.set_caps(sets(0b0001, 0b0111, 0b0100)).is_ok());
        for wrong in [sets(0b1, 0b0, 0), sets(0, 0b1_0000, 0), sets(0, 0, 0b1_0000)] {
            assert_eq!(cred.set_caps(wrong).err(), Some(Errno::EPERM));
        }
        let bounded = Cred { cap_bounding: 0, ..root() };
        assert_eq!(bounded.set_caps(sets(0, 0, 1)).err(), Some(Errno::EPERM));
    }

    #[test]
    fn ambient_capabilities_live_through_execve_and_only_there() {
        let cred = Cred { cap_permitted: 0b10, cap_inheritable: 0b10, ..user() };
        assert_eq!(cred.raise_ambient(0).err(), Some(Errno::EPERM));
        let raised = cred.raise_ambient(1).expect("permitted and inheritable");
        let program = raised.for_program(None, None);
        assert_eq!((program.cap_permitted, program.cap_effective), (0b10, 0b10));
        assert_eq!(raised.for_program(None, Some(5)).cap_permitted, 0, "a set-group-id file drops them");
        assert_eq!(cred.for_program(None, None).cap_permitted, 0);
    }

    #[test]
    fn programs_of_root_get_what_the_bounding_set_leaves() {
        let bounded = Cred { cap_bounding: 0b101, ..root() };
        assert_eq!(bounded.for_program(None, None).cap_effective, 0b101);
        let program = user().for_program(Some(0), None);
        assert_eq!((uids(&program), program.cap_effective), ([1000, 0, 0, 0], CAP_ALL));
        let left = Cred { uid: 0, ..user() }.for_program(None, None);
        assert_eq!((left.cap_permitted, left.cap_effective), (CAP_ALL, 0));
        let noroot = Cred { securebits: SECURE_NOROOT, ..root() };
        assert_eq!(noroot.for_program(None, None).cap_permitted, 0);
    }

    #[test]
    fn locked_secure_bits_stay() {
        let locked = root().set_securebits(0b11).expect("free");
        assert_eq!(locked.set_securebits(0b10).err(), Some(Errno::EPERM));
        assert_eq!(locked.set_securebits(0b01).err(), Some(Errno::EPERM));
        assert!(locked.set_securebits(0b111).is_ok());
        assert_eq!(root().set_securebits(1 << 9).err(), Some(Errno::EPERM));
    }

    /// Whatever a task without capabilities tries, it ends with ids it had.
    #[test]
    fn no_sequence_of_calls_gains_an_id() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below) as u32
        };
        let ids = [10, 20, 30, 0, KEEP];
        let mut cred = Cred { uid: 10, euid: 20, suid: 30, fsuid: 20, ..user() };
        for _ in 0..5000 {
            let picks: Vec<u32> = (0..3).map(|_| ids[random(5) as usize]).collect();
            let next = match random(4) {
                0 => cred.set_uid(picks[0]),
                1 => cred.set_reuid(picks[0], picks[1]),
                2 => cred.set_resuid([picks[0], picks[1], picks[2]]),
                _ => Ok(cred.set_fsuid(picks[0])),
            };
            if let Ok(next) = next {
                assert!(uids(&next).iter().all(|id| uids(&cred).contains(id)), "{cred:?} -> {next:?}");
                assert_eq!(next.cap_permitted | next.cap_effective, 0);
                // Ids only get lost; begin anew when one is left.
                let one = uids(&next).iter().all(|id| *id == next.uid);
                cred = if one { Cred { uid: 10, euid: 20, suid: 30, fsuid: 20, ..user() } } else { next };
            }
        }
    }
}

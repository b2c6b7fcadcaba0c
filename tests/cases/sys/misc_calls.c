// Calls that programs make in passing and their answers: sync, getdomainname, ioprio, personality, kcmp, acct.
#include "../case.h"
int main(void) {
    sync();
    char name[256] = "x";
    NUM(getdomainname(name, sizeof name));
    NUM(syscall(SYS_ioprio_get, 1, 0) >= 0);
    NUM(syscall(SYS_kcmp, getpid(), getpid(), 0, 1, 1));
    int copy = dup(1);
    NUM(syscall(SYS_kcmp, getpid(), getpid(), 0, 1, copy));
    NUM(syscall(SYS_kcmp, getpid(), getpid(), 0, 1, 900));
    NUM(syscall(SYS_getpgid, 0) == getpgrp());
    NUM(syscall(SYS_swapon, "/nothing", 0)), NUM(syscall(SYS_quotactl, 0x80000100, "/nothing", 0, 0));
    NUM(syscall(SYS_init_module, 0, 0, 0) < 0), NUM(syscall(SYS_iopl, 9));
    NUM(chroot("/nothing")), NUM(syscall(SYS_pivot_root, "/nothing", "/nothing"));
    NUM(syscall(SYS_setns, 0, 0)), NUM(syscall(SYS_unshare, 1)), NUM(syscall(SYS_add_key, 0, 0, 0, 0, 0) < 0);
    NUM(syscall(SYS_modify_ldt, 0, name, 16)), NUM(syscall(SYS_lookup_dcookie, 0, name, 10) < 0);
}

// Capability sets: read, dropped, kept over setuid or not, tested by what they allow.
#include "../case.h"
#include <linux/capability.h>
#include <sys/prctl.h>
static struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
static struct __user_cap_data_struct d[2];
int main(void) {
    NUM(syscall(SYS_capget, &h, d));
    IS(d[0].effective == d[0].permitted && (d[0].effective & 1 << CAP_CHOWN));
    d[0].effective &= ~(1u << CAP_CHOWN);
    NUM(syscall(SYS_capset, &h, d));
    scratch();
    put("f", "");
    NUM(chown("f", 5, 5));
    d[0].effective |= 1u << CAP_CHOWN;
    NUM(syscall(SYS_capset, &h, d)), NUM(chown("f", 5, 5));
    d[0].effective &= ~(1u << CAP_CHOWN), d[0].permitted &= ~(1u << CAP_CHOWN);
    NUM(syscall(SYS_capset, &h, d));
    d[0].permitted |= 1u << CAP_CHOWN;
    NUM(syscall(SYS_capset, &h, d));
    NUM(prctl(PR_CAPBSET_READ, CAP_KILL)), NUM(prctl(PR_CAPBSET_DROP, CAP_KILL)), NUM(prctl(PR_CAPBSET_READ, CAP_KILL));
    h.version = 1;
    NUM(syscall(SYS_capget, &h, NULL)), NUM(h.version == _LINUX_CAPABILITY_VERSION_3);
    NUM(syscall(SYS_capget, &h, d));
    h.pid = 0x3fffffff;
    NUM(syscall(SYS_capget, &h, d));
    h.pid = 0;
    pid_t pid = MUST(fork());
    if (!pid) {
        prctl(PR_SET_KEEPCAPS, 1);
        if (setuid(1000))
            _exit(9);
        syscall(SYS_capget, &h, d);
        say("kept: permitted %d effective %d", d[0].permitted != 0, d[0].effective != 0);
        _exit(0);
    }
    reap("keepcaps", pid);
    if (setuid(1000))
        return 9;
    syscall(SYS_capget, &h, d);
    say("dropped: permitted %d effective %d", d[0].permitted != 0, d[0].effective != 0);
    NUM(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
    NUM(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0));
}

// seccomp: strict mode and filters answer as told, survive exec and cannot be taken off.
#include "../case.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
int main(void) {
    NUM(prctl(PR_GET_SECCOMP));
    pid_t pid = MUST(fork());
    if (!pid) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
            syscall(SYS_exit, errno);
        syscall(SYS_getpid);
        syscall(SYS_exit, 0);
    }
    reap("strict", pid);
    pid = MUST(fork());
    if (!pid) {
        struct sock_filter f[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog p = {6, f};
        NUM(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        NUM(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p));
        NUM(syscall(SYS_getppid));
        NUM(prctl(PR_GET_SECCOMP));
        sched_yield();
        _exit(0);
    }
    reap("filter", pid);
}

// ptrace stops at system calls as strace uses it; options mark the stops.
#include "../case.h"
#include <sys/ptrace.h>
#include <sys/user.h>
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        syscall(SYS_getppid);
        syscall(SYS_write, 900, "x", 1);
        _exit(3);
    }
    int status;
    waitpid(pid, &status, 0);
    if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD)) {
        say("%s", errname(errno));
        return 0;
    }
    for (int stop = 0;; stop++) {
        ptrace(PTRACE_SYSCALL, pid, 0, 0);
        waitpid(pid, &status, 0);
        if (!WIFSTOPPED(status))
            break;
        struct user_regs_struct r;
        ptrace(PTRACE_GETREGS, pid, 0, &r);
        bool parent = r.orig_rax == SYS_getppid && stop % 2 == 1;
        if (r.orig_rax == SYS_getppid || r.orig_rax == SYS_write || r.orig_rax == SYS_exit_group)
            say("call %lld, marked %d, result %lld", r.orig_rax, WSTOPSIG(status) == (SIGTRAP | 0x80), parent ? (long long)((pid_t)r.rax == getpid()) : (long long)r.rax);
    }
    say_status("child", status);
}

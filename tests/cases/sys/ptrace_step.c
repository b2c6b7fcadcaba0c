// A whole stretch is stepped, system calls made again and again included; a breakpoint is planted and taken out.
#include "../case.h"
#include <sys/ptrace.h>
#include <sys/user.h>
static volatile int calls;
__attribute__((noinline)) static void marked(void) { calls += 100; }
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (int i = 0; i < 20; i++) {
            calls += syscall(SYS_getppid) == getppid();
            syscall(SYS_write, 900, "x", 1);
        }
        raise(SIGUSR1);
        marked();
        _exit(calls);
    }
    int status, steps = 0;
    waitpid(pid, &status, 0);
    say_status("begin", status);
    for (;; steps++) {
        ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
        waitpid(pid, &status, 0);
        siginfo_t info;
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || ptrace(PTRACE_GETSIGINFO, pid, 0, &info) || (info.si_code != TRAP_TRACE && info.si_code != TRAP_BRKPT))
            break;
    }
    say_status("after the steps", status);
    IS(steps > 400);
    long word = ptrace(PTRACE_PEEKTEXT, pid, marked, 0);
    NUM(ptrace(PTRACE_POKETEXT, pid, marked, (word & ~0xffl) | 0xcc));
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    waitpid(pid, &status, 0);
    say_status("at the breakpoint", status);
    struct user_regs_struct regs;
    NUM(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    IS(regs.rip == (unsigned long)marked + 1);
    regs.rip--;
    NUM(ptrace(PTRACE_SETREGS, pid, 0, &regs));
    NUM(ptrace(PTRACE_POKETEXT, pid, marked, word));
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    reap("child", pid);
    regs.rip = 1ul << 50;
    NUM(ptrace(PTRACE_SETREGS, pid, 0, &regs));
}

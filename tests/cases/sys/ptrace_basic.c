// ptrace: a traced child stops at exec, its memory and registers are read and changed, steps, it goes on.
#include "../case.h"
#include <sys/ptrace.h>
#include <sys/user.h>
static volatile long variable = 5;
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(variable);
    }
    int status;
    waitpid(pid, &status, 0);
    say_status("child", status);
    errno = 0;
    long word = ptrace(PTRACE_PEEKDATA, pid, &variable, 0);
    say("%ld %s", word, errname(errno));
    if (errno)
        return 0;
    NUM(ptrace(PTRACE_POKEDATA, pid, &variable, 42));
    struct user_regs_struct regs;
    NUM(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    IS(regs.rip != 0 && regs.rsp != 0);
    unsigned long rip = regs.rip;
    NUM(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
    waitpid(pid, &status, 0);
    say_status("child", status);
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    IS(regs.rip != rip);
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    reap("child", pid);
    NUM(ptrace(PTRACE_ATTACH, 0x3fffffff, 0, 0));
}

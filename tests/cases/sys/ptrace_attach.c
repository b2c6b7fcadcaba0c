// Attaching to a process that runs, or sleeps, or is stopped; letting it go; signals changed on their way; seizing.
#include "../case.h"
#include <sys/ptrace.h>
#include <sys/user.h>
static volatile int got[65];
static void note(int signo) { got[signo]++; }
static void stopped(const char *what, pid_t pid) {
    int status = 0;
    pid_t found = waitpid(pid, &status, __WALL);
    say("%s: %s %s, signal %d, event %d", what, found == pid ? "the tracee" : errname(errno), WIFSTOPPED(status) ? "stopped" : "not stopped",
        WSTOPSIG(status), status >> 16);
}
static pid_t sleeper(void) {
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        signal(SIGUSR1, note);
        signal(SIGUSR2, note);
        // In pause(2) a signal could be lost: one that finds it about to start anew after a stop runs before it.
        sigset_t both, none;
        sigemptyset(&none);
        sigemptyset(&both);
        sigaddset(&both, SIGUSR1);
        sigaddset(&both, SIGUSR2);
        sigprocmask(SIG_BLOCK, &both, NULL);
        write(p[1], "r", 1);
        while (!got[SIGUSR2])
            sigsuspend(&none);
        _exit(got[SIGUSR1] * 10 + got[SIGUSR2]);
    }
    char c;
    read(p[0], &c, 1);
    nap(20);
    return pid;
}
int main(void) {
    pid_t pid = sleeper();
    NUM(ptrace(PTRACE_ATTACH, pid, 0, 0));
    stopped("attach", pid);
    NUM(ptrace(PTRACE_ATTACH, pid, 0, 0));
    siginfo_t info;
    NUM(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
    NUM(info.si_signo);
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    kill(pid, SIGUSR1);
    stopped("a signal", pid);
    NUM(ptrace(PTRACE_CONT, pid, 0, 0)); // taken away
    kill(pid, SIGTERM);
    stopped("another", pid);
    NUM(ptrace(PTRACE_CONT, pid, 0, SIGUSR1)); // changed
    nap(20);
    kill(pid, SIGUSR2);
    stopped("the last", pid);
    NUM(ptrace(PTRACE_DETACH, pid, 0, SIGUSR2));
    reap("detached", pid);

    pid = sleeper();
    NUM(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
    NUM(waitpid(pid, 0, WNOHANG | __WALL));
    NUM(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
    stopped("interrupt", pid);
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    kill(pid, SIGSTOP);
    stopped("the stop signal", pid);
    NUM(ptrace(PTRACE_CONT, pid, 0, SIGSTOP));
    stopped("the group stop", pid);
    NUM(ptrace(PTRACE_LISTEN, pid, 0, 0));
    nap(20);
    kill(pid, SIGCONT);
    stopped("continued", pid);
    NUM(ptrace(PTRACE_CONT, pid, 0, 0));
    stopped("the signal for it", pid);
    NUM(ptrace(PTRACE_DETACH, pid, 0, 0));
    kill(pid, SIGUSR2);
    reap("seized", pid);

    // A tracer that ends frees its tracee, or takes it along.
    for (int kills = 0; kills < 2; kills++) {
        pid = sleeper();
        pid_t tracer = MUST(fork());
        if (!tracer) {
            ptrace(PTRACE_SEIZE, pid, 0, kills ? PTRACE_O_EXITKILL : 0);
            ptrace(PTRACE_INTERRUPT, pid, 0, 0);
            waitpid(pid, 0, __WALL);
            _exit(0);
        }
        reap("tracer", tracer);
        kill(pid, SIGUSR2);
        reap("its tracee", pid);
    }
    NUM(ptrace(PTRACE_CONT, getpid(), 0, 0));
    NUM(ptrace(PTRACE_ATTACH, getpid(), 0, 0));
    NUM(ptrace(PTRACE_SEIZE, 0x3fffffff, 0, 0));
}

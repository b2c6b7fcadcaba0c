// waitid fills siginfo, leaves the child with WNOWAIT, and selects by pid, group and any.
#include "../case.h"
static void show(siginfo_t *i, pid_t pid) {
    say("signo %s, code %d, status %d, pid %s, uid %d", i->si_signo ? sigabbrev_np(i->si_signo) : "none", i->si_code,
        i->si_status, i->si_pid == pid ? "right" : i->si_pid ? "wrong" : "0", (int)i->si_uid);
}
int main(void) {
    siginfo_t info = {0};
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(33);
    NUM(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    show(&info, pid);
    NUM(waitid(P_ALL, 0, &info, WEXITED));
    show(&info, pid);
    NUM(waitid(P_ALL, 0, &info, WEXITED));
    pid = MUST(fork());
    if (!pid) {
        setpgid(0, 0);
        raise(SIGSTOP);
        for (;;)
            pause();
    }
    NUM(waitid(P_PID, pid, &info, WSTOPPED));
    show(&info, pid);
    NUM(waitid(P_PGID, pid, &info, WSTOPPED | WNOHANG));
    show(&info, pid);
    kill(pid, SIGCONT);
    NUM(waitid(P_PGID, pid, &info, WCONTINUED));
    show(&info, pid);
    kill(pid, SIGQUIT);
    NUM(waitid(P_PGID, pid, NULL, WEXITED | WNOWAIT));
    struct rusage usage;
    NUM(syscall(SYS_waitid, P_PGID, pid, &info, WEXITED, &usage));
    info.si_code &= ~(CLD_KILLED ^ CLD_DUMPED);
    show(&info, pid);
    NUM(waitid(P_PID, pid, &info, 0));
    NUM(waitid(9, pid, &info, WEXITED));
    NUM(waitid(P_PID, 0, &info, WEXITED));
}

// SIGCHLD carries who and how; with SA_NOCLDWAIT or SIG_IGN children leave no zombie; SA_NOCLDSTOP is silent.
#include "../case.h"
static volatile sig_atomic_t count, code, status_is, right;
static pid_t pid;
static void handler(int sig, siginfo_t *i, void *c) {
    count++, code = i->si_code, status_is = i->si_status, right = i->si_pid == pid;
}
static void start(void) {
    count = 0;
    mask(SIG_BLOCK, SIGCHLD);
    pid = MUST(fork());
}
static void settle(void) {
    mask(SIG_UNBLOCK, SIGCHLD);
    for (int i = 0; i < 3000 && !count; i++)
        nap(1);
    say("count %d, code %d, status %d, pid %d", count, code, status_is, right);
}
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGCHLD, &a, NULL));
    start();
    if (!pid)
        _exit(17);
    settle();
    reap("exited", pid);
    start();
    if (!pid) {
        raise(SIGKILL);
    }
    settle();
    reap("killed", pid);
    start();
    if (!pid) {
        raise(SIGSTOP);
        pause();
    }
    settle();
    count = 0;
    kill(pid, SIGCONT);
    settle();
    a.sa_flags |= SA_NOCLDSTOP;
    MUST(sigaction(SIGCHLD, &a, NULL));
    count = 0;
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    say_status("again", status);
    NUM(count);
    kill(pid, SIGKILL);
    settle();
    reap("end", pid);
    a.sa_flags |= SA_NOCLDWAIT;
    MUST(sigaction(SIGCHLD, &a, NULL));
    start();
    if (!pid)
        _exit(0);
    settle();
    NUM(waitpid(pid, &status, 0));
    signal(SIGCHLD, SIG_IGN);
    pid = MUST(fork());
    if (!pid)
        _exit(0);
    NUM(waitpid(pid, &status, 0));
}

// siginfo of kill, raise, tgkill and a child's end.
#include "../case.h"
static siginfo_t got;
static void handler(int sig, siginfo_t *i, void *c) { got = *i; }
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, NULL);
    kill(getpid(), SIGUSR1);
    say("%d %d", got.si_signo == SIGUSR1, got.si_code);
    IS(got.si_pid == getpid() && got.si_uid == getuid() && got.si_errno == 0);
    raise(SIGUSR1);
    say("%d", got.si_code);
    IS(got.si_pid == getpid());
    pid_t me = getpid(), pid = MUST(fork());
    if (!pid) {
        kill(me, SIGUSR1);
        _exit(0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        ;
    IS(got.si_pid == pid && got.si_code == SI_USER);
    mask(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    tgkill(getpid(), gettid(), SIGUSR1);
    memset(&got, 0, sizeof got);
    mask(SIG_UNBLOCK, SIGUSR1);
    say("%d", got.si_code);
}

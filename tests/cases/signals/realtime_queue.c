// Real-time signals queue each with its value, in order; sigqueue's siginfo; the queue has a limit.
#include "../case.h"
static int values[64], n;
static void handler(int sig, siginfo_t *i, void *c) {
    if (n < 64)
        values[n] = i->si_value.sival_int + (i->si_code != SI_QUEUE) * 1000 + (i->si_pid != getpid()) * 10000 +
                    (i->si_uid != getuid()) * 100000;
    n++;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    mask(SIG_BLOCK, SIGRTMIN);
    mask(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 5; i++) {
        union sigval v = {.sival_int = i};
        NUM(sigqueue(getpid(), SIGRTMIN, v));
        sigqueue(getpid(), SIGUSR1, v);
    }
    mask(SIG_UNBLOCK, SIGRTMIN);
    mask(SIG_UNBLOCK, SIGUSR1);
    for (int i = 0; i < n; i++)
        NUM(values[i]);
    struct rlimit limit = {300, 300};
    NUM(setrlimit(RLIMIT_SIGPENDING, &limit));
    mask(SIG_BLOCK, SIGRTMIN);
    n = 0;
    union sigval v = {0};
    int good = 0;
    while (good < 600 && sigqueue(getpid(), SIGRTMIN, v) == 0)
        good++;
    // Signals that other processes of this user hold count too.
    say("%s, then %s", good > 0 && good <= 300 ? "some" : "wrong", errname(errno));
    NUM(kill(getpid(), SIGRTMIN));
    NUM(kill(getpid(), SIGUSR1));
    mask(SIG_UNBLOCK, SIGRTMIN);
    NUM(n >= good);
    siginfo_t info = {.si_code = SI_USER};
    NUM(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info));
    info.si_code = 5;
    NUM(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
}

// Pending signals come lowest first by handler entry order; synchronous ones go before others.
#include "../case.h"
static volatile int seen[16], n;
static void handler(int sig) { seen[n++] = sig; }
int main(void) {
    int signals[] = {SIGRTMIN + 2, SIGTERM, SIGUSR1, SIGRTMIN, SIGHUP, SIGUSR2, SIGRTMIN + 1};
    sigset_t all, old;
    sigfillset(&all);
    struct sigaction a = {.sa_handler = handler};
    sigfillset(&a.sa_mask);
    for (int i = 0; i < 7; i++)
        sigaction(signals[i], &a, NULL);
    sigprocmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < 7; i++)
        raise(signals[i]);
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < n; i++)
        say("%d", seen[i]);
}

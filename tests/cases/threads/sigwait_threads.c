// Of several threads in sigwait each signal is taken by exactly one.
#include "../case.h"
static sigset_t set;
static _Atomic int taken;
static void *work(void *arg) {
    int sig;
    for (;;) {
        sigwait(&set, &sig);
        if (sig == SIGTERM)
            return NULL;
        taken++;
    }
}
int main(void) {
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 100; i++)
        MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){0}));
    for (int i = 0; i < 3000 && taken < 100; i++)
        nap(1);
    NUM(taken);
    for (int i = 0; i < 3; i++)
        pthread_kill(t[i], SIGTERM);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    NUM(taken);
}

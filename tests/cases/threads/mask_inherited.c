// A new thread has its maker's signal mask and no pending signals; a handler's mask is the thread's own.
#include "../case.h"
static void *work(void *arg) {
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    NUM(sigismember(&set, SIGUSR1));
    sigpending(&set);
    NUM(sigismember(&set, SIGUSR1));
    stack_t s;
    sigaltstack(NULL, &s);
    NUM(s.ss_flags);
    mask(SIG_UNBLOCK, SIGUSR1);
    return NULL;
}
int main(void) {
    static char area[16384];
    stack_t s = {.ss_sp = area, .ss_size = sizeof area};
    sigaltstack(&s, NULL);
    mask(SIG_BLOCK, SIGUSR1);
    pthread_kill(pthread_self(), SIGUSR1);
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    NUM(sigismember(&set, SIGUSR1));
    sigpending(&set);
    NUM(sigismember(&set, SIGUSR1));
}

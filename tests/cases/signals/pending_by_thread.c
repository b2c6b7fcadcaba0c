// Process-wide and thread-wide pending signals are told apart; both are seen by sigpending of the right thread.
#include "../case.h"
static void *work(void *arg) {
    sigset_t set;
    sigpending(&set);
    return (void *)(long)(sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGUSR2));
}
int main(void) {
    mask(SIG_BLOCK, SIGUSR1), mask(SIG_BLOCK, SIGUSR2);
    kill(getpid(), SIGUSR1);
    pthread_kill(pthread_self(), SIGUSR2);
    NUM((long)work(NULL));
    pthread_t t;
    void *r;
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, &r);
    NUM((long)r);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2);
    struct timespec none = {0, 0};
    NUM(sigtimedwait(&set, NULL, &none)), NUM(sigtimedwait(&set, NULL, &none)), NUM(sigtimedwait(&set, NULL, &none));
}

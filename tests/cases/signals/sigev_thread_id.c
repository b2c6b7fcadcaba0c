// A POSIX timer aims its signal at one thread, with its value and its overrun.
#include "../case.h"
static volatile pid_t where;
static siginfo_t got;
static void handler(int sig, siginfo_t *i, void *c) {
    where = gettid();
    got = *i;
}
static void *work(void *arg) {
    struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 31};
    e._sigev_un._tid = gettid();
    timer_t timer;
    NUM(timer_create(CLOCK_MONOTONIC, &e, &timer));
    struct itimerspec t = {{0, 0}, {0, 10000000}};
    NUM(timer_settime(timer, 0, &t, NULL));
    for (int i = 0; i < 1000 && !where; i++)
        nap(1);
    IS(where == gettid());
    say("code %d value %d signo %d", got.si_code, got.si_value.sival_int, got.si_signo == SIGUSR1);
    NUM(timer_delete(timer));
    NUM(timer_delete(timer));
    return NULL;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, NULL);
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
}

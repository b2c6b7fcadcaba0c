// timer_create: signal with value, overrun, none, absolute, several at once, deletion, gone after fork and exec.
#include "../case.h"
static volatile int value, overrun, runs;
static timer_t timer;
static void handler(int sig, siginfo_t *i, void *c) {
    value = i->si_value.sival_int;
    overrun = i->si_overrun;
    runs++;
}
int main(int argc, char **argv) {
    if (argc > 1) {
        struct itimerspec t;
        NUM(timer_gettime((timer_t)0, &t));
        return 0;
    }
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &a, NULL);
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 99};
    NUM(timer_create(CLOCK_REALTIME, &e, &timer));
    struct itimerspec t = {{0, 0}, {0, 10000000}}, old;
    NUM(timer_settime(timer, 0, &t, NULL));
    while (!runs)
        pause();
    NUM(value), NUM(overrun);
    NUM(timer_gettime(timer, &old));
    NUM(old.it_value.tv_nsec);
    mask(SIG_BLOCK, SIGRTMIN);
    t.it_interval.tv_nsec = 5000000;
    timer_settime(timer, 0, &t, NULL);
    nap(80);
    runs = 0;
    mask(SIG_UNBLOCK, SIGRTMIN);
    t = (struct itimerspec){{0, 0}, {0, 0}};
    NUM(timer_settime(timer, 0, &t, &old));
    IS(runs >= 1 && overrun >= 0);
    IS(old.it_interval.tv_nsec == 5000000);
    IS(timer_getoverrun(timer) >= 0);
    timer_t none, second;
    e.sigev_notify = SIGEV_NONE;
    NUM(timer_create(CLOCK_MONOTONIC, &e, &none)), NUM(timer_create(CLOCK_MONOTONIC, NULL, &second));
    t.it_value.tv_sec = 100;
    NUM(timer_settime(none, 0, &t, NULL)), NUM(timer_gettime(none, &old));
    IS(old.it_value.tv_sec == 99);
    clock_gettime(CLOCK_MONOTONIC, &t.it_value);
    on(SIGALRM, SIG_IGN);
    NUM(timer_settime(second, TIMER_ABSTIME, &t, NULL));
    t.it_value.tv_nsec = 1000000000;
    NUM(timer_settime(none, 0, &t, NULL));
    NUM(timer_create(77, NULL, &second));
    e.sigev_notify = 77;
    NUM(timer_create(CLOCK_MONOTONIC, &e, &second));
    e.sigev_notify = SIGEV_SIGNAL, e.sigev_signo = 70;
    NUM(timer_create(CLOCK_MONOTONIC, &e, &second));
    NUM(timer_delete(none)), NUM(timer_gettime(none, &old));
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(timer_gettime(timer, &old) ? errno : 0);
    reap("child", pid);
    execl("/proc/self/exe", "x", "after", NULL);
}

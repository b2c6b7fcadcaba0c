// setitimer: real, virtual and profiling time; remaining time, intervals, alarm.
#include "../case.h"
static volatile sig_atomic_t count[65];
static void handler(int sig) { count[sig]++; }
int main(void) {
    on(SIGALRM, handler), on(SIGVTALRM, handler), on(SIGPROF, handler);
    struct itimerval t = {{0, 0}, {0, 30000}}, old;
    NUM(setitimer(ITIMER_REAL, &t, NULL)), NUM(getitimer(ITIMER_REAL, &old));
    IS(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 30000);
    pause();
    NUM(count[SIGALRM]);
    getitimer(ITIMER_REAL, &old);
    NUM(old.it_value.tv_usec);
    t.it_interval.tv_usec = 5000;
    setitimer(ITIMER_REAL, &t, NULL);
    count[SIGALRM] = 0;
    while (count[SIGALRM] < 5)
        pause();
    memset(&t, 0, sizeof t);
    NUM(setitimer(ITIMER_REAL, &t, &old));
    NUM(old.it_interval.tv_usec);
    t.it_value.tv_usec = 30000;
    NUM(setitimer(ITIMER_VIRTUAL, &t, NULL)), NUM(setitimer(ITIMER_PROF, &t, NULL));
    nap(60);
    NUM(count[SIGVTALRM] + count[SIGPROF]);
    int64_t start = now_ms();
    while ((!count[SIGVTALRM] || !count[SIGPROF]) && now_ms() - start < 5000)
        ;
    NUM(count[SIGVTALRM]), NUM(count[SIGPROF]);
    NUM(alarm(100)), NUM(alarm(50)), NUM(alarm(0)), NUM(alarm(0));
    t.it_value.tv_usec = 1000000;
    NUM(setitimer(ITIMER_REAL, &t, NULL)), NUM(setitimer(9, &t, NULL)), NUM(getitimer(9, &old));
    t.it_value.tv_usec = 500000;
    setitimer(ITIMER_REAL, &t, NULL);
    pid_t pid = MUST(fork());
    if (!pid) {
        getitimer(ITIMER_REAL, &old);
        _exit(old.it_value.tv_usec + old.it_value.tv_sec != 0);
    }
    reap("child has no timer", pid);
}

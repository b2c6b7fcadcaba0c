// Timers on CPU time run while their thread or process computes, not while it sleeps.
#include "../case.h"
static volatile sig_atomic_t runs;
static void handler(int sig) { runs++; }
int main(void) {
    on(SIGRTMIN, handler);
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    clockid_t clocks[2] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        timer_t timer;
        NUM(timer_create(clocks[i], &e, &timer));
        struct itimerspec t = {{0, 0}, {0, 40000000}};
        runs = 0;
        NUM(timer_settime(timer, 0, &t, NULL));
        nap(80);
        NUM(runs);
        int64_t start = now_ms();
        while (!runs && now_ms() - start < 5000)
            ;
        NUM(runs);
        timer_delete(timer);
    }
    clockid_t c;
    NUM(clock_getcpuclockid(getpid(), &c));
    struct timespec t;
    NUM(clock_gettime(c, &t));
    IS(t.tv_sec == 0 && t.tv_nsec > 0);
    ERR(pthread_getcpuclockid(pthread_self(), &c));
    NUM(clock_gettime(c, &t));
    NUM(clock_getcpuclockid(0x3fffffff, &c) == ESRCH);
}

// nanosleep and clock_nanosleep: lengths, absolute times, remaining time, errors.
#include "../case.h"
static volatile sig_atomic_t got;
static void handler(int sig) { got++; }
int main(void) {
    struct timespec t = {0, 20000000}, left = {9, 9};
    int64_t start = now_ms();
    NUM(nanosleep(&t, &left));
    IS(now_ms() - start >= 20);
    NUM(left.tv_sec);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 30000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    start = now_ms();
    ERR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    IS(now_ms() - start >= 28);
    ERR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    t = (struct timespec){0, 1000000000};
    NUM(nanosleep(&t, NULL));
    t = (struct timespec){-1, 0};
    NUM(nanosleep(&t, NULL));
    ERR(clock_nanosleep(77, 0, &t, NULL));
    t = (struct timespec){0, 1000000};
    ERR(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL));
    ERR(clock_nanosleep(CLOCK_REALTIME, 0, &t, NULL));
    t = (struct timespec){0, 0};
    NUM(nanosleep(&t, NULL)), NUM(usleep(1000)), NUM(sleep(0));
    on(SIGALRM, handler);
    ualarm(30000, 0);
    t = (struct timespec){5, 0};
    NUM(nanosleep(&t, &left));
    IS(left.tv_sec == 4 && left.tv_nsec > 900000000 && left.tv_nsec < 971000000);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += 5;
    ualarm(30000, 0);
    left.tv_sec = 77;
    ERR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &left));
    NUM(left.tv_sec), NUM(got);
    // A stop and a continuation do not shorten a sleep.
    pid_t pid = MUST(fork());
    if (!pid) {
        start = now_ms();
        t = (struct timespec){0, 200000000};
        int r = nanosleep(&t, NULL);
        _exit(r == 0 && now_ms() - start >= 199 ? 0 : 1);
    }
    nap(30);
    kill(pid, SIGSTOP), nap(20), kill(pid, SIGCONT);
    reap("sleeper", pid);
}

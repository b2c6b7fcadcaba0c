// The clocks: which exist, how they relate, that they move forward, resolution, setting refused.
#include "../case.h"
static int64_t ns(clockid_t c) {
    struct timespec t;
    return clock_gettime(c, &t) ? -1 : t.tv_sec * 1000000000LL + t.tv_nsec;
}
int main(void) {
    clockid_t good[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
    for (int i = 0; i < 9; i++) {
        struct timespec r = {9, 9};
        say("%d: %s, resolution %s", good[i], ns(good[i]) >= 0 ? "yes" : "no", clock_getres(good[i], &r) ? errname(errno) : r.tv_sec ? "long" : r.tv_nsec == 1 ? "1 ns" : "coarse");
    }
    struct timespec t;
    NUM(clock_gettime(77, &t)), NUM(clock_gettime(-1, &t)), NUM(clock_getres(77, &t)), NUM(syscall(SYS_clock_gettime, 77, &t));
    int64_t last = 0, back = 0;
    for (int i = 0; i < 100000; i++) {
        int64_t n = ns(CLOCK_MONOTONIC);
        back += n < last;
        last = n;
    }
    NUM(back);
    int64_t a = ns(CLOCK_MONOTONIC_COARSE), b = ns(CLOCK_MONOTONIC);
    IS(b >= a && b - a < 100000000);
    a = ns(CLOCK_REALTIME);
    time_t s = time(NULL);
    struct timeval v;
    gettimeofday(&v, NULL);
    IS(llabs(s - a / 1000000000) <= 1);
    IS(v.tv_sec * 1000000000LL + v.tv_usec * 1000LL >= a - 1000);
    IS(a > 1700000000000000000LL);
    IS(ns(CLOCK_BOOTTIME) >= ns(CLOCK_MONOTONIC) - 1000000);
    IS(syscall(SYS_time, NULL) - time(NULL) <= 1);
    a = ns(CLOCK_MONOTONIC), b = ns(CLOCK_REALTIME);
    nap(50);
    int64_t da = ns(CLOCK_MONOTONIC) - a, db = ns(CLOCK_REALTIME) - b;
    IS(llabs(da - db) < 20000000 && da >= 50000000);
}

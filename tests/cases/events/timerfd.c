// timerfd: one shot, periodic counts, absolute, disarm, remaining time, clocks, errors.
#include "../case.h"
#include <sys/timerfd.h>
int main(void) {
    int t = TRY(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    uint64_t n = 0;
    NUM(read(t, &n, 8));
    struct itimerspec s = {{0, 0}, {0, 30000000}}, old;
    NUM(timerfd_settime(t, 0, &s, NULL));
    NUM(timerfd_gettime(t, &old));
    IS(old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 30000000);
    struct pollfd w = {t, POLLIN};
    NUM(poll(&w, 1, 0)), NUM(poll(&w, 1, 2000)), NUM(read(t, &n, 8)), NUM(n), NUM(read(t, &n, 8));
    timerfd_gettime(t, &old);
    NUM(old.it_value.tv_sec + old.it_value.tv_nsec);
    s = (struct itimerspec){{0, 10000000}, {0, 1}};
    NUM(timerfd_settime(t, 0, &s, NULL));
    nap(65);
    NUM(read(t, &n, 8));
    IS(n >= 6);
    s.it_interval.tv_nsec = s.it_value.tv_nsec = 0;
    NUM(timerfd_settime(t, 0, &s, &old));
    IS(old.it_interval.tv_nsec == 10000000);
    nap(20);
    NUM(poll(&w, 1, 0));
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    s.it_value = now;
    NUM(timerfd_settime(t, TFD_TIMER_ABSTIME, &s, NULL)), NUM(poll(&w, 1, 1000)), NUM(read(t, &n, 8)), NUM(n);
    NUM(read(t, &n, 4));
    s.it_value.tv_nsec = 1000000000;
    NUM(timerfd_settime(t, 0, &s, NULL)), NUM(timerfd_settime(0, 0, &s, NULL)), NUM(timerfd_settime(t, 64, &s, NULL));
    NUM(timerfd_create(999, 0)), NUM(timerfd_create(CLOCK_REALTIME, 5)), NUM(write(t, &n, 8));
    TRY(timerfd_create(CLOCK_REALTIME, 0)), TRY(timerfd_create(CLOCK_BOOTTIME, 0));
    // A blocking read waits for it.
    int b = MUST(timerfd_create(CLOCK_REALTIME, 0));
    s = (struct itimerspec){{0, 0}, {0, 20000000}};
    timerfd_settime(b, 0, &s, NULL);
    int64_t start = now_ms();
    NUM(read(b, &n, 8));
    IS(now_ms() - start >= 19);
    // A new setting drops expirations that were not read.
    timerfd_settime(t, 0, &s, NULL);
    nap(30);
    s.it_value.tv_sec = 100;
    timerfd_settime(t, 0, &s, NULL);
    NUM(read(t, &n, 8));
}

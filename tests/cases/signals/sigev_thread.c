// SIGEV_THREAD timers call their function in a thread with the value.
#include "../case.h"
static _Atomic int sum, calls, other;
static pid_t me;
static void tick(union sigval v) {
    sum += v.sival_int;
    other += gettid() != me;
    calls++;
}
int main(void) {
    me = gettid();
    struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 7, .sigev_notify_function = tick};
    timer_t timer;
    NUM(timer_create(CLOCK_MONOTONIC, &e, &timer));
    struct itimerspec t = {{0, 10000000}, {0, 10000000}};
    NUM(timer_settime(timer, 0, &t, NULL));
    for (int i = 0; i < 3000 && calls < 3; i++)
        nap(1);
    NUM(timer_delete(timer));
    IS(calls >= 3 && sum == 7 * calls && other == calls);
}

// Realtime timerfds: absolute wake-ups, cancel-on-set flag accepted, epoll and several readers.
#include "../case.h"
#include <sys/timerfd.h>
int main(void) {
    int t = MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)), e = MUST(epoll_create1(0));
    struct itimerspec s = {{0, 0}, {0, 0}};
    clock_gettime(CLOCK_REALTIME, &s.it_value);
    s.it_value.tv_nsec += 30000000;
    if (s.it_value.tv_nsec >= 1000000000)
        s.it_value.tv_sec++, s.it_value.tv_nsec -= 1000000000;
    struct epoll_event ev = {EPOLLIN | EPOLLET}, out;
    MUST(epoll_ctl(e, EPOLL_CTL_ADD, t, &ev));
    NUM(timerfd_settime(t, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &s, NULL));
    NUM(epoll_wait(e, &out, 1, 0)), NUM(epoll_wait(e, &out, 1, 2000));
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    IS(now.tv_sec > s.it_value.tv_sec || (now.tv_sec == s.it_value.tv_sec && now.tv_nsec >= s.it_value.tv_nsec));
    uint64_t n;
    NUM(read(t, &n, 8)), NUM(n), NUM(epoll_wait(e, &out, 1, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        s = (struct itimerspec){{0, 0}, {0, 10000000}};
        timerfd_settime(t, 0, &s, NULL);
        _exit(0);
    }
    reap("child sets the shared timer", pid);
    NUM(epoll_wait(e, &out, 1, 2000)), NUM(read(t, &n, 8));
}

// fdinfo of special descriptors tells their state.
#include "../case.h"
#include <sys/timerfd.h>
static char *info(int fd) {
    char path[64];
    sprintf(path, "/proc/self/fdinfo/%d", fd);
    return get(path);
}
int main(void) {
    scratch();
    put("f", "0123456789");
    int f = MUST(open("f", O_RDWR | O_APPEND | O_CLOEXEC));
    lseek(f, 7, SEEK_SET);
    IS(strncmp(info(f), "pos:\t7\n", 7) == 0);
    IS(strstr(info(f), "flags:\t02102002\n") != NULL);
    int e = MUST(eventfd(5, 0));
    IS(strstr(info(e), "eventfd-count:                5") != NULL);
    int p = MUST(epoll_create1(0));
    struct epoll_event ev = {EPOLLIN, {.u64 = 0xabc}};
    epoll_ctl(p, EPOLL_CTL_ADD, e, &ev);
    IS(strstr(info(p), "tfd:") != NULL && strstr(info(p), "data:              abc") != NULL);
    int t = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    IS(strstr(info(t), "clockid: 1") != NULL);
    int d = MUST(syscall(SYS_pidfd_open, getpid(), 0));
    char want[32];
    sprintf(want, "Pid:\t%d\n", getpid());
    IS(strstr(info(d), want) != NULL);
    NUM(strlen(info(900)));
}

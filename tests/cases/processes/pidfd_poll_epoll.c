// pidfds in poll and epoll next to pipes; non-blocking waitid; several children end in any order.
#include "../case.h"
int main(void) {
    int e = MUST(epoll_create1(0));
    pid_t pids[5];
    for (int i = 0; i < 5; i++) {
        pids[i] = MUST(fork());
        if (!pids[i]) {
            nap(10 + 10 * (4 - i));
            _exit(i);
        }
        int fd = MUST(syscall(SYS_pidfd_open, pids[i], O_NONBLOCK));
        if (i == 0) {
            siginfo_t info;
            NUM(waitid(P_PIDFD, fd, &info, WEXITED));
        }
        struct epoll_event ev = {EPOLLIN | EPOLLONESHOT, {.u64 = (uint64_t)i << 32 | fd}};
        MUST(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
    }
    int sum = 0;
    for (int n = 0; n < 5; n++) {
        struct epoll_event out;
        if (epoll_wait(e, &out, 1, 5000) != 1) {
            say("nothing ended");
            break;
        }
        siginfo_t info;
        MUST(waitid(P_PIDFD, (int)out.data.u64, &info, WEXITED));
        sum += info.si_status == (int)(out.data.u64 >> 32);
    }
    NUM(sum);
}

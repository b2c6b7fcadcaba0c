// eventfd: counting, semaphore mode, overflow, blocking, polling, sharing with a child.
#include "../case.h"
int main(void) {
    int e = TRY(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
    NUM(fcntl(e, F_GETFD));
    uint64_t v = 0;
    NUM(read(e, &v, 8)), NUM(v), NUM(read(e, &v, 8));
    v = 5, write(e, &v, 8), v = 6, write(e, &v, 8);
    NUM(read(e, &v, 8)), NUM(v);
    v = UINT64_MAX;
    NUM(write(e, &v, 8));
    v = UINT64_MAX - 1;
    NUM(write(e, &v, 8));
    v = 1;
    NUM(write(e, &v, 8));
    struct pollfd w = {e, POLLIN | POLLOUT};
    NUM(poll(&w, 1, 0)), NUM(w.revents);
    NUM(read(e, &v, 8)), NUM(v == UINT64_MAX - 1);
    NUM(poll(&w, 1, 0)), NUM(w.revents);
    NUM(read(e, &v, 4)), NUM(write(e, &v, 7));
    int s = MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    NUM(read(s, &v, 8)), NUM(v), NUM(read(s, &v, 8)), NUM(read(s, &v, 8));
    NUM(eventfd(0, 0x100));
    int b = MUST(eventfd(0, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        uint64_t x;
        read(b, &x, 8);
        _exit(x);
    }
    wait_asleep(pid);
    eventfd_write(b, 42);
    reap("child", pid);
}

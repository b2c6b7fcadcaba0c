// A futex in shared memory joins two processes, also at different addresses; a private one does not.
#include "../case.h"
#include <linux/futex.h>
int main(void) {
    int memory = MUST(memfd_create("m", 0));
    MUST(ftruncate(memory, 8192));
    int *w = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        int *v = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
        v[1] = 1;
        v[2] = syscall(SYS_futex, v, FUTEX_WAIT, 0, NULL, NULL, 0);
        v[1] = 2;
        struct timespec t = {0, 50000000};
        _exit(syscall(SYS_futex, v + 1024, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0) < 0 ? errno : 0);
    }
    while (w[1] != 1)
        sched_yield();
    nap(20);
    NUM(syscall(SYS_futex, w, FUTEX_WAKE_PRIVATE, 1));
    NUM(syscall(SYS_futex, w, FUTEX_WAKE, 1));
    while (w[1] != 2)
        sched_yield();
    nap(10);
    NUM(syscall(SYS_futex, w + 1024, FUTEX_WAKE, 1));
    reap("child", pid);
    NUM(w[2]);
}

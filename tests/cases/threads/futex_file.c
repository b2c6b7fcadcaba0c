// A futex in a shared file mapping joins processes that mapped the file on their own.
#include "../case.h"
#include <linux/futex.h>
int main(void) {
    scratch();
    put("f", "0000000000000000");
    pid_t pid = MUST(fork());
    int fd = MUST(open("f", O_RDWR));
    int *w = MUST(mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    if (!pid) {
        w[3] = syscall(SYS_futex, w, FUTEX_WAIT, 0x30303030, NULL, NULL, 0);
        _exit(w[2] == 7);
    }
    wait_asleep(pid);
    w[2] = 7;
    NUM(syscall(SYS_futex, w, FUTEX_WAKE, 1));
    reap("child", pid);
    NUM(w[3]);
    NUM(syscall(SYS_futex, w, FUTEX_WAKE, 1));
}

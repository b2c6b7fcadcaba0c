// Bad pointers given to system calls are EFAULT, never a signal, and partial work is reported.
#include "../case.h"
int main(void) {
    char *page = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(mprotect(page + 4096, 4096, PROT_NONE));
    int p[2];
    MUST(pipe(p));
    NUM(write(p[1], page + 4090, 10));
    NUM(write(p[1], page + 4096, 10));
    NUM(write(p[1], "0123456789", 10));
    char drain[64];
    IS(read(p[0], drain, 6) >= 0);
    NUM(read(p[0], page + 4096, 10));
    NUM(pipe((int *)(page + 4096)));
    NUM(syscall(SYS_clock_gettime, 0, page + 4090));
    NUM(syscall(SYS_stat, "/", page + 4000));
    NUM(syscall(SYS_stat, page + 4096, drain));
    memset(page, 'a', 4096);
    NUM(open(page + 4090, O_RDONLY));
    NUM(syscall(SYS_getcwd, page + 4096, 4096));
    NUM(syscall(SYS_uname, 0xffff888000000000));
    NUM(read(p[0], (char *)0x7fffffffffff - 2, 10));
    NUM(syscall(SYS_nanosleep, page + 4096, NULL));
    NUM(sigaction(SIGUSR1, NULL, (void *)(page + 4096)));
    struct iovec iov[2] = {{drain, 4}, {page + 4096, 4}};
    NUM(writev(p[1], iov, 2));
    NUM(writev(p[1], (void *)(page + 4088), 2));
    NUM(syscall(SYS_poll, page + 4096, 1, 0));
    NUM(syscall(SYS_getrandom, page + 4096, 10, 0));
    NUM(syscall(SYS_getrandom, page + 4090, 10, 0));
}

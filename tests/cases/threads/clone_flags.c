// Flag combinations that the kernel refuses.
#include "../case.h"
int main(void) {
    char *s = (char *)malloc(4096) + 4096;
    (void)s;
    NUM(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
    NUM(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
    NUM(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, 0, 0, 0, 0));
    NUM(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0));
    struct {
        uint64_t v[11];
    } a = {{0}};
    NUM(syscall(SYS_clone3, &a, 8));
    NUM(syscall(SYS_clone3, &a, 4096 * 2));
    a.v[0] = CLONE_THREAD;
    NUM(syscall(SYS_clone3, &a, 64));
    a.v[0] = 0, a.v[4] = 65;
    NUM(syscall(SYS_clone3, &a, 64));
    a.v[4] = SIGCHLD, a.v[5] = 4096;
    NUM(syscall(SYS_clone3, &a, 64));
    a.v[5] = 0, a.v[6] = 4096;
    NUM(syscall(SYS_clone3, &a, 64));
    a.v[6] = 0, a.v[0] = SIGCHLD;
    NUM(syscall(SYS_clone3, &a, 64));
    NUM(syscall(SYS_clone3, 8, 64));
}

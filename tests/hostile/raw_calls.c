// System calls made by instructions of its own: all numbers with wild arguments in child after child.
//= timeout 60
#include "hostile.h"
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
int main(int argc, char **argv) {
    ignore_all();
    static char area[65536];
    // Kill whatever can be named.
    call(SYS_kill, -1, SIGKILL, 0, 0, 0, 0);
    for (int pid = 2; pid < 300; pid++)
        if (pid != getpid())
            call(SYS_kill, pid, SIGKILL, 0, 0, 0, 0), call(SYS_tgkill, pid, pid, SIGKILL, 0, 0, 0);
    for (long n = 0; n < 470; n++) {
        if (n == SYS_exit || n == SYS_exit_group || n == SYS_reboot)
            continue;
        pid_t pid = fork();
        if (!pid) {
            alarm(1);
            close(1);
            call(n, (long)area, -1, (long)area, 0x7fffffffffff, -1, 1);
            call(n, -1, (long)area, 65536, (long)area, 0, 0);
            call(n, 0, 0, 0, 0, 0, 0);
            call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
            stay();
        }
        for (int i = 0; i < 200 && waitpid(pid, NULL, WNOHANG) == 0; i++)
            usleep(1000);
        kill(pid, SIGKILL);
    }
    ready(argv);
}

// pidfd_open, pidfd_send_signal, pidfd_getfd.
#include "../case.h"
#include <sys/pidfd.h>
int main(void) {
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        int fd = MUST(open("/proc/self/exe", O_RDONLY));
        MUST(dup2(fd, 50));
        write(p[1], "r", 1);
        for (;;)
            pause();
    }
    char c;
    read(p[0], &c, 1);
    int fd = TRY((int)syscall(SYS_pidfd_open, pid, 0));
    NUM(fcntl(fd, F_GETFD));
    struct pollfd w = {fd, POLLIN};
    NUM(poll(&w, 1, 0));
    NUM(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    int got = TRY((int)syscall(SYS_pidfd_getfd, fd, 50, 0));
    NUM(read(got, &c, 1));
    NUM(c);
    NUM(syscall(SYS_pidfd_getfd, fd, 51, 0));
    NUM(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    NUM(poll(&w, 1, -1));
    reap("child", pid);
    NUM(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    NUM(syscall(SYS_pidfd_open, 0x3fffffff, 0));
    NUM(syscall(SYS_pidfd_open, -1, 0));
    NUM(syscall(SYS_pidfd_open, getpid(), 1));
    NUM(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0));
    NUM(read(fd, &c, 1));

    // A directory of /proc is as good for a signal, and for nothing else.
    int proc = MUST(open("/proc/self", O_DIRECTORY | O_CLOEXEC));
    NUM(syscall(SYS_pidfd_send_signal, proc, 0, NULL, 0));
    NUM(syscall(SYS_pidfd_getfd, proc, 1, 0));
    NUM(syscall(SYS_pidfd_send_signal, MUST(open("/proc", O_DIRECTORY | O_CLOEXEC)), 0, NULL, 0));
    NUM(syscall(SYS_pidfd_send_signal, MUST(open("/proc/self", O_PATH | O_CLOEXEC)), 0, NULL, 0));
    pid = MUST(fork());
    if (!pid)
        for (;;)
            pause();
    char path[32];
    sprintf(path, "/proc/%d", pid);
    proc = MUST(open(path, O_DIRECTORY | O_CLOEXEC));
    NUM(syscall(SYS_pidfd_send_signal, proc, SIGKILL, NULL, 0));
    reap("child", pid);
    NUM(syscall(SYS_pidfd_send_signal, proc, 0, NULL, 0));
}

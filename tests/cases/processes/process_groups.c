// Process groups: who may be moved where.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        write(1, "", 0);
        pause();
    }
    int p[2];
    MUST(pipe2(p, O_CLOEXEC));
    pid_t pid = MUST(fork());
    if (!pid) {
        close(p[0]);
        execl("/proc/self/exe", "x", "wait", NULL);
        _exit(9);
    }
    close(p[1]);
    char c;
    read(p[0], &c, 1);
    NUM(setpgid(pid, pid));
    kill(pid, SIGKILL);
    reap("executed", pid);
    pid = MUST(fork());
    if (!pid)
        for (;;)
            pause();
    IS(getpgid(pid) == getpgrp());
    NUM(setpgid(pid, 0));
    IS(getpgid(pid) == pid);
    NUM(setpgid(pid, getpgrp()));
    IS(getpgid(pid) == getpgrp());
    NUM(setpgid(pid, 0x3fffffff));
    NUM(setpgid(pid, -1));
    NUM(setpgid(0x3fffffff, 0));
    NUM(getpgid(0x3fffffff));
    NUM(getsid(0x3fffffff));
    kill(pid, SIGKILL);
    IS(getpgid(pid) == getpgrp());
    reap("child", pid);
    pid = MUST(fork());
    if (!pid) {
        IS(setsid() == getpid());
        NUM(setsid());
        NUM(setpgid(0, 0));
        IS(getpgrp() == getpid() && getsid(0) == getpid());
        pid_t other = fork();
        if (!other) {
            setpgid(0, 0);
            NUM(setpgid(0, getppid()));
            IS(getpgrp() == getppid());
            _exit(0);
        }
        reap("grandchild", other);
        _exit(0);
    }
    reap("session", pid);
}

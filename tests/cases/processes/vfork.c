// vfork: the child runs in the parent's memory and the parent waits until it executes or ends.
#include "../case.h"
static volatile int shared;
int main(int argc, char **argv) {
    if (argc > 1)
        return 12;
    pid_t pid = vfork();
    if (!pid) {
        shared = 5;
        _exit(3);
    }
    NUM(shared);
    reap("exits", pid);
    int p[2];
    MUST(pipe2(p, O_CLOEXEC));
    pid = vfork();
    if (!pid) {
        shared = 6;
        close(p[0]);
        execl("/proc/self/exe", "x", "y", NULL);
        _exit(9);
    }
    NUM(shared);
    close(p[1]);
    char c;
    NUM(read(p[0], &c, 1));
    reap("executes", pid);
    NUM(fcntl(p[0], F_GETFD));
    pid = vfork();
    if (!pid) {
        shared = execl("/no/such", "x", NULL) == -1 ? errno : 0;
        _exit(127);
    }
    say("%s", errname(shared));
    reap("fails", pid);
}

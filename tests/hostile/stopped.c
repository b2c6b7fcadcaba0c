// Children that are stopped, and one that traces another.
#include "hostile.h"
#include <sys/ptrace.h>
int main(int argc, char **argv) {
    ignore_all();
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();
        if (!pid) {
            setsid();
            if (i % 2)
                ptrace(PTRACE_TRACEME, 0, 0, 0);
            kill(getpid(), SIGSTOP);
            stay();
        }
    }
    usleep(100000);
    ready(argv);
}

// clone with CLONE_PIDFD that cannot give the descriptor makes no child.
#include "../case.h"
#include <linux/sched.h>
static void try(const char *what, int *pidfd) {
    long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0);
    int error = errno;
    if (!pid)
        _exit(9);
    say("%s: %s", what, pid > 0 ? "a child" : errname(error));
    int status;
    say("wait: %s", wait4(-1, &status, 0, NULL) > 0 ? "a child" : errname(errno));
}
int main(void) {
    int pidfd = -1;
    try("with room", &pidfd);
    IS(pidfd > 2);
    NUM(fcntl(pidfd, F_GETFD));
    close(pidfd);
    try("bad address", (int *)8);
    try("bad address again", (int *)0x7fffdeadb000);
    int next = dup(0);
    close(next);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = next;
    NUM(setrlimit(RLIMIT_NOFILE, &limit));
    try("no descriptor left", &pidfd);
    limit.rlim_cur = next + 1;
    NUM(setrlimit(RLIMIT_NOFILE, &limit));
    try("one left", &pidfd);
    IS(pidfd == next);
}

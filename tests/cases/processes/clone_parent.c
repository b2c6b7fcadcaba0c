// CLONE_PARENT makes a sibling; the maker's parent waits for it.
#include "../case.h"
static int work(void *arg) { _exit(6); }
int main(void) {
    static char stack[65536] __attribute__((aligned(16)));
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        pid_t sibling = clone(work, stack + sizeof stack, CLONE_PARENT | SIGCHLD, NULL);
        write(p[1], &sibling, sizeof sibling);
        _exit(waitpid(sibling, NULL, 0) < 0 ? errno == ECHILD ? 3 : 4 : 5);
    }
    pid_t sibling;
    read(p[0], &sibling, sizeof sibling);
    reap("child", pid);
    reap("sibling", sibling);
}

// fork in a signal handler: the child comes out of the handler too, with its mask.
#include "../case.h"
static volatile sig_atomic_t child;
static void handler(int sig) {
    pid_t pid = fork();
    if (!pid)
        child = 1;
    else
        reap("child", pid);
}
int main(void) {
    on(SIGUSR1, handler);
    raise(SIGUSR1);
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    say("%s, blocked %d", child ? "child" : "parent", sigismember(&set, SIGUSR1));
    return child ? 4 : 0;
}

// During a handler its signal and sa_mask are blocked; SA_NODEFER nests; SA_RESETHAND acts once.
#include "../case.h"
static volatile sig_atomic_t depth, deepest, runs;
static void handler(int sig) {
    runs++;
    if (++depth > deepest)
        deepest = depth;
    if (runs < 4)
        raise(sig);
    depth--;
}
static void other(int sig) { runs += 100; }
static void outer(int sig) {
    raise(SIGUSR2);
    say("in the outer handler: %d", runs);
}
static void run(int flags) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGUSR1, &a, NULL);
    depth = deepest = runs = 0;
    raise(SIGUSR1);
    say("runs %d, deepest %d", runs, deepest);
}
int main(void) {
    run(0);
    run(SA_NODEFER);
    pid_t pid = MUST(fork());
    if (!pid) {
        run(SA_RESETHAND);
        _exit(0);
    }
    reap("reset, then pending", pid);
    runs = 0;
    on(SIGUSR2, other);
    struct sigaction a = {.sa_handler = outer};
    sigemptyset(&a.sa_mask);
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
    NUM(runs);
    a.sa_handler = handler, a.sa_flags = SA_RESETHAND;
    runs = 10;
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &a);
    IS(a.sa_handler == SIG_DFL);
}

// Without a handler's own stack, running out of stack kills with SIGSEGV, even with a handler.
#include "../case.h"
static void handler(int sig) { _exit(3); }
__attribute__((noinline)) static int dive(int n) {
    volatile char page[4096];
    page[0] = n;
    return dive(n + 1) + page[0];
}
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(dive(0));
    reap("no handler", pid);
    pid = MUST(fork());
    if (!pid) {
        on(SIGSEGV, handler);
        _exit(dive(0));
    }
    reap("handler on the same stack", pid);
}

// abort beats a handler that returns, a block and an ignore; assert's message and signal.
#include "../case.h"
static volatile sig_atomic_t count;
static void handler(int sig) { count++; dprintf(1, "handled\n"); }
int main(void) {
    for (int i = 0; i < 3; i++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            if (i == 0)
                on(SIGABRT, handler);
            if (i == 1)
                signal(SIGABRT, SIG_IGN);
            if (i == 2)
                mask(SIG_BLOCK, SIGABRT);
            abort();
        }
        reap("abort", pid);
    }
}

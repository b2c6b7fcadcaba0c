// The main stack grows on touch to its limit; beyond it a touch is SIGSEGV on the alternate stack.
#include "../case.h"
static char alternate[65536];
static volatile int depth;
static void handler(int sig, siginfo_t *info, void *context) {
    say("signal %s", sigabbrev_np(sig));
    IS(depth > 4 << 10);
    IS(depth < 9 << 10);
    IS(info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR);
    _exit(7);
}
__attribute__((noinline)) static int dive(void) {
    volatile char page[1024];
    page[0] = depth++;
    return dive() + page[0];
}
int main(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    MUST(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    MUST(sigaction(SIGSEGV, &action, NULL));
    volatile char *big = __builtin_alloca(4 << 20);
    for (int i = (4 << 20) - 1; i >= 0; i -= 4096)
        big[i] = 1;
    say("4 MiB touched downwards");
    depth = 4 << 10;
    return dive();
}

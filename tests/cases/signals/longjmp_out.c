// Leaving handlers by siglongjmp many times, also from the alternate stack, leaves nothing behind.
#include "../case.h"
#include <setjmp.h>
static sigjmp_buf back;
static void handler(int sig) { siglongjmp(back, 1); }
int main(void) {
    static char area[32768];
    stack_t s = {.ss_sp = area, .ss_size = sizeof area};
    sigaltstack(&s, NULL);
    struct sigaction a = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    static volatile int faults, raises;
    for (volatile int i = 0; i < 2000; i++) {
        if (!sigsetjmp(back, 1)) {
            if (i % 2)
                *(volatile char *)(uintptr_t)(i * 2) = 1;
            raise(SIGUSR1);
        } else if (i % 2)
            faults++;
        else
            raises++;
    }
    NUM(faults);
    NUM(raises);
    stack_t now;
    sigaltstack(NULL, &now);
    NUM(now.ss_flags);
}

// A fault whose signal is blocked or ignored kills all the same.
#include "../case.h"
int main(void) {
    for (int i = 0; i < 6; i++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            int sig = i < 2 ? SIGSEGV : i < 4 ? SIGFPE : SIGILL;
            if (i % 2)
                mask(SIG_BLOCK, sig);
            else
                signal(sig, SIG_IGN);
            volatile int zero = 0, seven = 7;
            if (i < 2)
                *(volatile char *)(uintptr_t)8 = 1;
            else if (i < 4)
                zero = seven / zero;
            else
                __asm__ volatile("ud2");
            _exit(0);
        }
        reap(i % 2 ? "blocked" : "ignored", pid);
    }
}

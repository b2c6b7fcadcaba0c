// A signal does not touch the 128 bytes below the stack pointer.
#include "../case.h"
static volatile sig_atomic_t count;
static void handler(int sig) {
    volatile char use[4096];
    memset((char *)use, 0x55, sizeof use);
    count++;
}
int main(void) {
    on(SIGALRM, handler);
    struct itimerval t = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &t, NULL);
    long bad = 0;
    for (int round = 0; count < 30 && round < 1000000; round++) {
        long first, last;
        __asm__ volatile("movq $0x77, -8(%%rsp)\n movq $0x88, -128(%%rsp)\n mov $100000, %%ecx\n1: dec %%ecx\n jnz 1b\n"
                         "mov -8(%%rsp), %0\n mov -128(%%rsp), %1"
                         : "=r"(first), "=r"(last)
                         :
                         : "rcx", "cc", "memory");
        bad += first != 0x77 || last != 0x88;
    }
    IS(count >= 30);
    NUM(bad);
}

// Every register and the flags survive asynchronous signals in a computation.
#include "../case.h"
static volatile sig_atomic_t count;
static void handler(int sig) {
    count++;
    volatile double x = count;
    for (int i = 0; i < 10; i++)
        x *= 1.5;
    __asm__ volatile("pcmpeqd %%xmm1, %%xmm1; pcmpeqd %%xmm9, %%xmm9; stc" ::: "xmm1", "xmm9", "cc");
}
int main(void) {
    on(SIGALRM, handler);
    struct itimerval t = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &t, NULL);
    long bad = 0;
    int64_t start = now_ms();
    while (count < 50 && now_ms() - start < 8000) {
        unsigned long a = 1, b = 2, c = 3, x = 7;
        double f = 1.25;
        __asm__ volatile("mov $300000, %%ecx\n mov $0x11, %%r8\n mov $0x22, %%r9\n mov $0x33, %%r12\n mov $0x44, %%rbp\n"
                         "movq %4, %%xmm1\n movq %4, %%xmm9\n"
                         "1: xor %%r9, %%r8\n xor %%r9, %%r8\n dec %%ecx\n jnz 1b\n"
                         "mov %%r8, %0\n mov %%r12, %1\n mov %%rbp, %2\n paddq %%xmm1, %%xmm9\n movq %%xmm9, %3"
                         : "=r"(a), "=r"(b), "=r"(c), "=r"(x)
                         : "r"(1000UL)
                         : "rcx", "r8", "r9", "r12", "rbp", "xmm1", "xmm9", "cc");
        bad += a != 0x11 || b != 0x33 || c != 0x44 || x != 2000 || f != 1.25;
    }
    IS(count >= 50);
    NUM(bad);
}

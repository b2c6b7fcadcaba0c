// The upper halves of vector registers survive a handler that changes them.
#include "../case.h"
static volatile sig_atomic_t count;
__attribute__((target("avx2"))) static void handler(int sig) {
    __asm__ volatile("vpcmpeqd %%ymm5, %%ymm5, %%ymm5\n vpxor %%ymm11, %%ymm11, %%ymm11" ::: "xmm5", "xmm11");
    count++;
}
__attribute__((target("avx2"))) static long run(void) {
    long bad = 0;
    unsigned long v[4] = {1, 2, 3, 4}, out[4];
    int64_t start = now_ms();
    while (count < 30 && now_ms() - start < 8000) {
        __asm__ volatile("vmovdqu %1, %%ymm5\n vmovdqa %%ymm5, %%ymm11\n mov $200000, %%ecx\n1: dec %%ecx\n jnz 1b\n vpaddq %%ymm5, %%ymm11, %%ymm5\n vmovdqu %%ymm5, %0\n vzeroupper"
                         : "=m"(out)
                         : "m"(v)
                         : "ecx", "xmm5", "xmm11", "memory");
        for (int i = 0; i < 4; i++)
            bad += out[i] != 2 * v[i];
    }
    return bad;
}
int main(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) {
        say("no avx2 here");
        return 0;
    }
    on(SIGALRM, handler);
    struct itimerval t = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &t, NULL);
    NUM(run());
    IS(count >= 30);
}

// All vector registers survive switches between spinning threads.
#include "../case.h"
static void *work(void *arg) {
    unsigned long value = 0x1111111111111111UL * ((long)arg + 1), bad = 0;
    for (int i = 0; i < 200; i++) {
        unsigned long out[4] = {0};
        __asm__ volatile("vmovq %1, %%xmm0\n vpbroadcastq %%xmm0, %%ymm15\n vmovdqa %%ymm15, %%ymm3\n"
                         "mov $100000, %%ecx\n1: dec %%ecx\n jnz 1b\n"
                         "vpaddq %%ymm15, %%ymm3, %%ymm3\n vmovdqu %%ymm3, %0\n vzeroupper"
                         : "=m"(out)
                         : "r"(value)
                         : "ecx", "xmm0", "xmm3", "xmm15", "memory");
        for (int j = 0; j < 4; j++)
            bad += out[j] != 2 * value;
    }
    return (void *)bad;
}
int main(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) {
        say("no avx2 here");
        return 0;
    }
    pthread_t t[5];
    for (long i = 0; i < 5; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    long all = 0;
    for (int i = 0; i < 5; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        all += (long)bad;
    }
    NUM(all);
}

// arch_prctl sets and gets the segment bases; GS survives switches and signals and belongs to the thread.
#include "../case.h"
#include <asm/prctl.h>
static long area[4];
static void handler(int sig) {}
static void *work(void *arg) {
    static long mine[4] = {0, 0x5678};
    syscall(SYS_arch_prctl, ARCH_SET_GS, mine);
    long bad = 0;
    for (int i = 0; i < 2000; i++) {
        long v;
        __asm__ volatile("movq %%gs:8, %0" : "=r"(v));
        bad += v != 0x5678;
        sched_yield();
    }
    return (void *)bad;
}
int main(void) {
    unsigned long base = 1;
    NUM(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
    NUM(base);
    NUM(syscall(SYS_arch_prctl, ARCH_SET_GS, area));
    NUM(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
    IS(base == (unsigned long)area);
    area[1] = 0x1234;
    on(SIGUSR1, handler);
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    long bad = 0;
    for (int i = 0; i < 2000; i++) {
        long v;
        __asm__ volatile("movq %%gs:8, %0" : "=r"(v));
        bad += v != 0x1234;
        if (i % 100 == 0)
            raise(SIGUSR1);
        sched_yield();
    }
    NUM(bad);
    void *other;
    pthread_join(t, &other);
    NUM((long)other);
    NUM(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
    IS(base == (unsigned long)pthread_self());
    NUM(syscall(SYS_arch_prctl, ARCH_SET_GS, 1UL << 63));
    NUM(syscall(SYS_arch_prctl, 0x9999, 0));
    NUM(syscall(SYS_arch_prctl, ARCH_GET_FS, 8));
}

// Invalid instructions of some threads while others unmap memory, which makes every vCPU forget page-table entries.
#include "../case.h"
#include <pthread.h>
#include <ucontext.h>

static volatile int stop;
static long count;

static void step_over(int sig, siginfo_t *info, void *context) {
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
}

static void *invalid(void *unused) {
    while (!stop)
        asm volatile("ud2");
    return NULL;
}

static void *unmap(void *unused) {
    while (!stop) {
        char *p = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 1, 1 << 16);
        munmap(p, 1 << 16);
    }
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = step_over, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(threads + i, NULL, i & 1 ? invalid : unmap, NULL);
    nap(1500);
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    say("%s", count > 0 ? "stepped over" : "none");
}

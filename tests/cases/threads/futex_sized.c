// futex_wait, futex_wake and futex_requeue, which name size and kind; futex_waitv across processes and with signals.
#include "../case.h"
#include <linux/futex.h>
#define SIZE32 2
#define PRIVATE 128
static long wake(void *a, unsigned long mask, int n, unsigned flags) { return syscall(454, a, mask, n, flags); }
static long wait_for(void *a, unsigned long v, unsigned long mask, unsigned flags, struct timespec *t, int clock) {
    return syscall(455, a, v, mask, flags, t, clock);
}
static _Atomic uint32_t words[4];
static _Atomic int sleeping;
struct sleeper { int word; unsigned long mask; };
static void *sleeper(void *arg) {
    struct sleeper *s = arg;
    sleeping++;
    return (void *)wait_for(&words[s->word], 0, s->mask, SIZE32 | PRIVATE, NULL, CLOCK_MONOTONIC);
}
static int asleep(void) {
    nap(60);
    return sleeping;
}
static void handler(int sig) {}
int main(void) {
    struct timespec past = {0, 0}, bad = {0, 2000000000};
    NUM(wait_for(&words[0], 1, 1, SIZE32 | PRIVATE, NULL, CLOCK_MONOTONIC));
    NUM(wait_for(&words[0], 0, 1, SIZE32 | PRIVATE, &past, CLOCK_MONOTONIC));
    NUM(wait_for(&words[0], 0, 1, SIZE32 | PRIVATE, &past, CLOCK_REALTIME));
    NUM(wait_for(&words[0], 0, 1, SIZE32, &past, CLOCK_MONOTONIC));
    NUM(wait_for(&words[0], 0, 1, SIZE32, &bad, CLOCK_MONOTONIC));
    NUM(wait_for(&words[0], 0, 1, SIZE32, &past, CLOCK_BOOTTIME));
    NUM(wait_for(&words[0], 0, 0, SIZE32, &past, CLOCK_MONOTONIC));
    NUM(wait_for(&words[0], 1UL << 32, 1, SIZE32, &past, CLOCK_MONOTONIC));
    NUM(wait_for((char *)words + 2, 0, 1, SIZE32, &past, CLOCK_MONOTONIC));
    NUM(wait_for(&words[0], 0, 1, 1, &past, CLOCK_MONOTONIC));
    NUM(wait_for((void *)8, 0, 1, SIZE32 | PRIVATE, &past, CLOCK_MONOTONIC));
    NUM(wake(&words[0], 1, 0, SIZE32)), NUM(wake(&words[0], 0, 1, SIZE32)), NUM(wake(&words[0], 1, 1, 0));
    struct sleeper kinds[3] = {{0, 1}, {0, 2}, {0, 3}};
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, sleeper, &kinds[i]);
    NUM(asleep());
    NUM(wake(&words[0], 4, 10, SIZE32 | PRIVATE));
    NUM(wake(&words[0], 2, 10, SIZE32 | PRIVATE));
    struct futex_waitv v[2] = {{.val = 5, .uaddr = (uintptr_t)&words[0], .flags = SIZE32 | PRIVATE},
                               {.val = 0, .uaddr = (uintptr_t)&words[1], .flags = SIZE32 | PRIVATE}};
    NUM(syscall(456, v, 0, 0, 10));
    v[0].val = 0;
    NUM(syscall(456, v, 1, 0, 10)), NUM(syscall(456, v, 0, -1, 10)), NUM(syscall(456, NULL, 0, 0, 10));
    NUM(syscall(456, v, 0, 0, 10));
    NUM(wake(&words[0], 1, 10, SIZE32 | PRIVATE));
    NUM(wake(&words[1], 1, 10, SIZE32 | PRIVATE));
    for (int i = 0; i < 3; i++) {
        void *end;
        pthread_join(t[i], &end);
        NUM((long)end);
    }
    // Several words of a shared page, woken by another process, and a signal meanwhile.
    _Atomic uint32_t *shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < 2; i++)
        v[i] = (struct futex_waitv){.uaddr = (uintptr_t)&shared[i], .flags = SIZE32};
    struct sigaction quiet = {.sa_handler = handler}, again = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &quiet, NULL);
    sigaction(SIGUSR2, &again, NULL);
    pid_t parent = getpid(), child = MUST(fork());
    if (!child) {
        nap(30);
        kill(parent, SIGUSR2);
        nap(30);
        shared[1] = 1;
        int woken;
        while (!(woken = wake((void *)&shared[1], 1, 1, SIZE32)))
            nap(5);
        nap(30);
        kill(parent, SIGUSR1);
        _exit(woken);
    }
    NUM(syscall(449, v, 2, 0, NULL, 0));
    v[1].val = 1;
    NUM(syscall(449, v, 2, 0, NULL, 0));
    int status;
    waitpid(child, &status, 0);
    NUM(WEXITSTATUS(status));
    v[0].__reserved = 1;
    NUM(syscall(449, v, 2, 0, NULL, 0));
    v[0].__reserved = 0, v[0].uaddr = 8;
    NUM(syscall(449, v, 2, 0, NULL, 0));
    NUM(syscall(449, v, 2, 0, &past, 77)), NUM(syscall(449, v, 2, 1, NULL, 0));
}

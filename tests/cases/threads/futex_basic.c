// The futex call itself: compare, wake counts, time-outs, alignment.
#include "../case.h"
#include <linux/futex.h>
static int word;
static long futex(int *uaddr, int op, int val, struct timespec *t, int *uaddr2, int val3) {
    return syscall(SYS_futex, uaddr, op, val, t, uaddr2, val3);
}
static _Atomic int in;
static void *waiter(void *arg) {
    in++;
    long r = futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return (void *)r;
}
int main(void) {
    word = 1;
    NUM(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0));
    NUM(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    struct timespec t = {0, 20000000};
    int64_t start = now_ms();
    NUM(futex(&word, FUTEX_WAIT, 1, &t, NULL, 0));
    IS(now_ms() - start >= 19);
    struct timespec bad = {0, 1000000000}, past = {-1, 0};
    NUM(futex(&word, FUTEX_WAIT, 1, &bad, NULL, 0));
    NUM(futex(&word, FUTEX_WAIT, 1, &past, NULL, 0));
    NUM(futex((int *)((char *)&word + 1), FUTEX_WAIT, 1, NULL, NULL, 0));
    NUM(futex((int *)8, FUTEX_WAIT, 1, NULL, NULL, 0));
    NUM(futex(&word, 77, 1, NULL, NULL, 0));
    NUM(futex(&word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0));
    clock_gettime(CLOCK_MONOTONIC, &t);
    NUM(futex(&word, FUTEX_WAIT_BITSET, 1, &t, NULL, 1));
    clock_gettime(CLOCK_REALTIME, &t);
    NUM(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &t, NULL, 1));
    word = 0;
    pthread_t w[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&w[i], NULL, waiter, NULL);
    while (in < 3)
        sched_yield();
    nap(30);
    NUM(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    NUM(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
    for (int i = 0; i < 3; i++) {
        void *r;
        pthread_join(w[i], &r);
        NUM((long)r);
    }
}

// WAKE_OP changes the second word and wakes waiters of both by its old value; bit sets choose waiters.
#include "../case.h"
#include <linux/futex.h>
static int a, b;
static _Atomic int in, out;
static void *waiter(void *arg) {
    in++;
    syscall(SYS_futex, arg, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    out++;
    return NULL;
}
static void *bit_waiter(void *arg) {
    in++;
    syscall(SYS_futex, &a, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (long)arg);
    out++;
    return NULL;
}
int main(void) {
    pthread_t t[4];
    pthread_create(&t[0], NULL, waiter, &a);
    pthread_create(&t[1], NULL, waiter, &b);
    while (in < 2)
        sched_yield();
    nap(20);
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_OP_PRIVATE, 1, 1L, &b, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)));
    NUM(b);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_OP_PRIVATE, 1, 1L, &b, FUTEX_OP(FUTEX_OP_ANDN, 1, FUTEX_OP_CMP_GT, 4)));
    NUM(b);
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_OP_PRIVATE, 1, 1L, &b, FUTEX_OP(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, FUTEX_OP_CMP_LT, 4)));
    NUM(b);
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_OP_PRIVATE, 1, 1L, &b, FUTEX_OP(FUTEX_OP_XOR, 0xff, FUTEX_OP_CMP_NE, 4)));
    NUM(b);
    in = out = 0;
    for (long i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, bit_waiter, (void *)(1L << i));
    while (in < 3)
        sched_yield();
    nap(20);
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 5));
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 8));
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 0));
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}

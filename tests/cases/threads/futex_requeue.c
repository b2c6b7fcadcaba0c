// CMP_REQUEUE wakes some and moves the rest; only a wake on the second word reaches those.
#include "../case.h"
#include <linux/futex.h>
static int a, b;
static _Atomic int in, out;
static void *waiter(void *arg) {
    in++;
    syscall(SYS_futex, &a, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    out++;
    return NULL;
}
int main(void) {
    pthread_t t[5];
    for (int i = 0; i < 5; i++)
        pthread_create(&t[i], NULL, waiter, NULL);
    while (in < 5)
        sched_yield();
    nap(30);
    NUM(syscall(SYS_futex, &a, FUTEX_CMP_REQUEUE_PRIVATE, 1, 3L, &b, 9));
    NUM(syscall(SYS_futex, &a, FUTEX_CMP_REQUEUE_PRIVATE, 1, 3L, &b, 0));
    while (out < 1)
        sched_yield();
    NUM(syscall(SYS_futex, &a, FUTEX_WAKE_PRIVATE, 9));
    while (out < 2)
        sched_yield();
    nap(10);
    NUM(out);
    NUM(syscall(SYS_futex, &a, FUTEX_REQUEUE_PRIVATE, 0, 10L, &b, 0));
    NUM(syscall(SYS_futex, &b, FUTEX_WAKE_PRIVATE, 9));
    for (int i = 0; i < 5; i++)
        pthread_join(t[i], NULL);
    NUM(out);
    NUM(syscall(SYS_futex, &a, FUTEX_CMP_REQUEUE_PRIVATE, -1, 1L, &b, 0));
}

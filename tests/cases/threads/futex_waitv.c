// futex_waitv waits on several words; the index of the one that woke it comes back.
#include "../case.h"
#include <linux/futex.h>
static uint32_t words[3] = {1, 2, 3};
static long waitv(struct futex_waitv *v, int n, struct timespec *t) { return syscall(449, v, n, 0, t, CLOCK_MONOTONIC); }
static void *waker(void *arg) {
    nap(30);
    syscall(SYS_futex, &words[2], FUTEX_WAKE_PRIVATE, 1);
    return NULL;
}
int main(void) {
    struct futex_waitv v[3];
    for (int i = 0; i < 3; i++)
        v[i] = (struct futex_waitv){.val = i + 1, .uaddr = (uintptr_t)&words[i], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG};
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    NUM(waitv(v, 3, &t));
    v[1].val = 9;
    NUM(waitv(v, 3, NULL));
    v[1].val = 2;
    pthread_t p;
    pthread_create(&p, NULL, waker, NULL);
    t.tv_sec += 5;
    NUM(waitv(v, 3, &t));
    pthread_join(p, NULL);
    NUM(waitv(v, 0, NULL)), NUM(waitv(v, 200, NULL));
    v[0].flags = 0;
    NUM(waitv(v, 3, NULL));
}

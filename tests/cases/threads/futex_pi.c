// Priority-inheritance futexes: owner in the word, deadlock found, hand-over to the waiter.
#include "../case.h"
#include <linux/futex.h>
static int word;
static _Atomic int in;
static void *waiter(void *arg) {
    in = 1;
    long r = syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    bool own = (word & FUTEX_TID_MASK) == gettid();
    return (void *)(r * 100 + own * 10 + syscall(SYS_futex, &word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
}
int main(void) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    ERR(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
    pthread_mutex_t m;
    ERR(pthread_mutex_init(&m, &a));
    ERR(pthread_mutex_lock(&m));
    ERR(pthread_mutex_trylock(&m));
    ERR(pthread_mutex_unlock(&m));
    NUM(syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    IS(word == gettid());
    NUM(syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    NUM(syscall(SYS_futex, &word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    pthread_t t;
    pthread_create(&t, NULL, waiter, NULL);
    while (!in || !(word & FUTEX_WAITERS))
        sched_yield();
    NUM(syscall(SYS_futex, &word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    void *result;
    pthread_join(t, &result);
    NUM((long)result);
    NUM(word);
    NUM(syscall(SYS_futex, &word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
}

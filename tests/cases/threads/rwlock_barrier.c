// Readers share, a writer excludes; a barrier has exactly one serial thread a round.
#include "../case.h"
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static _Atomic int readers, most, serial;
static long a, b;
static void *work(void *arg) {
    for (int round = 0; round < 50; round++) {
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            serial++;
        pthread_rwlock_rdlock(&rw);
        int n = ++readers;
        int old = most;
        while (n > old && !atomic_compare_exchange_weak(&most, &old, n))
            ;
        if (a != b)
            say("torn");
        readers--;
        pthread_rwlock_unlock(&rw);
        pthread_rwlock_wrlock(&rw);
        if (readers)
            say("readers beside a writer");
        a++, sched_yield(), b++;
        pthread_rwlock_unlock(&rw);
    }
    return NULL;
}
int main(void) {
    pthread_t t[6];
    pthread_barrier_init(&barrier, NULL, 6);
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
    NUM(serial);
    NUM(a);
    NUM(b);
    pthread_rwlock_rdlock(&rw);
    ERR(pthread_rwlock_trywrlock(&rw));
    ERR(pthread_rwlock_tryrdlock(&rw));
}

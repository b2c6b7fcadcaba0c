// The monotonic clock never goes back from one thread to another.
#include "../case.h"
static _Atomic int64_t last;
static void *work(void *arg) {
    long back = 0;
    for (int i = 0; i < 100000; i++) {
        int64_t seen = last;
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t n = t.tv_sec * 1000000000LL + t.tv_nsec;
        back += n < seen;
        while (n > seen && !atomic_compare_exchange_weak(&last, &seen, n))
            ;
    }
    return (void *)back;
}
int main(void) {
    pthread_t t[4];
    long back = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        back += (long)r;
    }
    NUM(back);
}

// Each thread has its own CPU clock; the process's is their sum.
#include "../case.h"
static int64_t ns(clockid_t c) {
    struct timespec t;
    clock_gettime(c, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static void *burn(void *arg) {
    while (ns(CLOCK_THREAD_CPUTIME_ID) < 60000000)
        ;
    return NULL;
}
int main(void) {
    pthread_t t[3];
    int64_t own = ns(CLOCK_THREAD_CPUTIME_ID), all = ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, burn, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    own = ns(CLOCK_THREAD_CPUTIME_ID) - own, all = ns(CLOCK_PROCESS_CPUTIME_ID) - all;
    IS(all >= 175000000);
    IS(own < all / 2);
    IS(clock() >= 170000);
}

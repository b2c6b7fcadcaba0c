// Recursive, error-checking and timed mutexes.
#include "../case.h"
static pthread_mutex_t m;
static void make(int kind) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, kind);
    pthread_mutex_init(&m, &a);
}
static void *other(void *arg) {
    ERR(pthread_mutex_trylock(&m));
    ERR(pthread_mutex_unlock(&m));
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    ERR(pthread_mutex_timedlock(&m, &until));
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec--;
    ERR(pthread_mutex_clocklock(&m, CLOCK_MONOTONIC, &until));
    return NULL;
}
int main(void) {
    pthread_t t;
    make(PTHREAD_MUTEX_ERRORCHECK);
    ERR(pthread_mutex_lock(&m));
    ERR(pthread_mutex_lock(&m));
    pthread_create(&t, NULL, other, NULL);
    pthread_join(t, NULL);
    ERR(pthread_mutex_unlock(&m));
    ERR(pthread_mutex_unlock(&m));
    make(PTHREAD_MUTEX_RECURSIVE);
    ERR(pthread_mutex_lock(&m));
    ERR(pthread_mutex_lock(&m));
    ERR(pthread_mutex_unlock(&m));
    pthread_create(&t, NULL, other, NULL);
    pthread_join(t, NULL);
    ERR(pthread_mutex_unlock(&m));
    ERR(pthread_mutex_trylock(&m));
}

// Condition variables: signal wakes one, broadcast wakes all, a timed wait ends.
#include "../case.h"
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER, back = PTHREAD_COND_INITIALIZER;
static int waiting, tokens, awake;
static void *work(void *arg) {
    pthread_mutex_lock(&m);
    waiting++;
    pthread_cond_signal(&back);
    while (!tokens)
        pthread_cond_wait(&c, &m);
    tokens--;
    awake++;
    pthread_cond_signal(&back);
    pthread_mutex_unlock(&m);
    return NULL;
}
int main(void) {
    pthread_t t[10];
    for (int i = 0; i < 10; i++)
        pthread_create(&t[i], NULL, work, NULL);
    pthread_mutex_lock(&m);
    while (waiting < 10)
        pthread_cond_wait(&back, &m);
    for (int i = 1; i <= 3; i++) {
        tokens = 1;
        pthread_cond_signal(&c);
        while (awake < i)
            pthread_cond_wait(&back, &m);
        NUM(awake);
    }
    tokens = 7;
    pthread_cond_broadcast(&c);
    while (awake < 10)
        pthread_cond_wait(&back, &m);
    NUM(tokens);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    ERR(pthread_cond_timedwait(&c, &m, &until));
    int64_t start = now_ms();
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 50000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    ERR(pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &until));
    IS(now_ms() - start >= 49);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < 10; i++)
        pthread_join(t[i], NULL);
}

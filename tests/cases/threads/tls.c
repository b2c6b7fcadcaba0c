// Each thread has its own thread-local variables, initialised; destructors of keys run at its end.
#include "../case.h"
static __thread int counter = 100;
static __thread char big[70000];
static pthread_key_t key;
static _Atomic int destroyed;
static void destroy(void *value) {
    destroyed += (int)(long)value;
}
static void *work(void *arg) {
    pthread_setspecific(key, arg);
    int bad = 0;
    for (size_t i = 0; i < sizeof big; i++)
        bad += big[i] != 0;
    memset(big, 1, sizeof big);
    for (int i = 0; i < 1000; i++) {
        counter += (long)arg;
        if (i % 100 == 0)
            sched_yield();
    }
    return (void *)(long)(counter + bad);
}
int main(void) {
    pthread_t t[5];
    pthread_key_create(&key, destroy);
    for (long i = 0; i < 5; i++)
        pthread_create(&t[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < 5; i++) {
        void *value;
        pthread_join(t[i], &value);
        NUM((long)value);
    }
    NUM(counter);
    NUM(destroyed);
    errno = EBADF;
    pthread_create(&t[0], NULL, (void *(*)(void *))close, (void *)-1L);
    pthread_join(t[0], NULL);
    say("errno is still %s", errname(errno));
}

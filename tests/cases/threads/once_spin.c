// pthread_once runs once though many ask; spin locks exclude.
#include "../case.h"
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_spinlock_t lock;
static int inits;
static long count;
static void init(void) {
    nap(5);
    inits++;
}
static void *work(void *arg) {
    pthread_once(&once, init);
    for (int i = 0; i < 3000; i++) {
        pthread_spin_lock(&lock);
        count++;
        pthread_spin_unlock(&lock);
    }
    return (void *)(long)inits;
}
int main(void) {
    pthread_spin_init(&lock, 0);
    pthread_t t[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, work, NULL);
    long sum = 0;
    for (int i = 0; i < 6; i++) {
        void *v;
        pthread_join(t[i], &v);
        sum += (long)v;
    }
    NUM(sum);
    NUM(count);
}

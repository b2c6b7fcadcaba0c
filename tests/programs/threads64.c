// Sixty-four threads with contended mutexes, condition variables and a queue between them.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
enum { THREADS = 64, ROUNDS = 500 };
static pthread_mutex_t locks[4] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static long counters[4];
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[16], head, length;
static long sums[THREADS];

static void push(int value) {
    pthread_mutex_lock(&queue_lock);
    while (length == 16)
        pthread_cond_wait(&not_full, &queue_lock);
    queue[(head + length++) % 16] = value;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&queue_lock);
}

static int pop(void) {
    pthread_mutex_lock(&queue_lock);
    while (!length)
        pthread_cond_wait(&not_empty, &queue_lock);
    int value = queue[head];
    head = (head + 1) % 16, length--;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&queue_lock);
    return value;
}

static void *work(void *arg) {
    long me = (long)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int which = (me + i) % 4;
        pthread_mutex_lock(&locks[which]);
        counters[which]++;
        pthread_mutex_unlock(&locks[which]);
        if (me % 2)
            push(i);
        else
            sums[me] += pop();
        free(malloc(100 + i % 1000));
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i))
            return 1;
    long sum = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += sums[i];
    }
    printf("%ld %ld %ld %ld, sum %ld, left %d\n", counters[0], counters[1], counters[2], counters[3], sum, length);
}

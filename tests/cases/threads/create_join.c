// Threads return values, share memory and have process id and own thread id.
#include "../case.h"
static pid_t tids[8];
static void *work(void *arg) {
    long i = (long)arg;
    tids[i] = gettid();
    return (void *)(getpid() == gettid() ? -1L : i * i);
}
int main(void) {
    pthread_t t[8];
    for (long i = 0; i < 8; i++)
        ERR(pthread_create(&t[i], NULL, work, (void *)i));
    for (int i = 0; i < 8; i++) {
        void *value;
        ERR(pthread_join(t[i], &value));
        NUM((long)value);
    }
    int same = 0;
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++)
            same += tids[i] == tids[j];
    IS(getpid() == gettid());
    NUM(same == 0);
}

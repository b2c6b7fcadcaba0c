// Two threads wait for different children; a child of one thread can be waited for by another.
#include "../case.h"
static pid_t pids[2];
static void *work(void *arg) {
    int status, i = (long)arg;
    return (void *)(long)(waitpid(pids[i], &status, 0) == pids[i] ? WEXITSTATUS(status) : -1);
}
int main(void) {
    for (int i = 0; i < 2; i++) {
        pids[i] = MUST(fork());
        if (!pids[i]) {
            nap(i ? 10 : 40);
            _exit(20 + i);
        }
    }
    pthread_t t[2];
    for (long i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (int i = 0; i < 2; i++) {
        void *r;
        pthread_join(t[i], &r);
        NUM((long)r);
    }
    NUM(wait(NULL));
}

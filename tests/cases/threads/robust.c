// The owner of a robust mutex dies: the next locker gets EOWNERDEAD and can make it consistent, or it is lost.
#include "../case.h"
static pthread_mutex_t *m;
static void *die_holding(void *arg) {
    pthread_mutex_lock(m);
    return NULL;
}
int main(void) {
    m = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(m, &a);
    pthread_t t;
    pthread_create(&t, NULL, die_holding, NULL);
    pthread_join(t, NULL);
    ERR(pthread_mutex_trylock(m));
    ERR(pthread_mutex_consistent(m));
    ERR(pthread_mutex_unlock(m));
    pid_t pid = MUST(fork());
    if (!pid) {
        pthread_mutex_lock(m);
        raise(SIGKILL);
    }
    reap("child", pid);
    ERR(pthread_mutex_lock(m));
    ERR(pthread_mutex_consistent(m));
    ERR(pthread_mutex_unlock(m));
    // Death while another waits wakes the waiter.
    int p[2];
    MUST(pipe(p));
    pid = MUST(fork());
    if (!pid) {
        pthread_mutex_lock(m);
        write(p[1], "x", 1);
        nap(50);
        _exit(0);
    }
    char c;
    read(p[0], &c, 1);
    ERR(pthread_mutex_lock(m));
    ERR(pthread_mutex_unlock(m));
    reap("child", pid);
    ERR(pthread_mutex_lock(m));
}

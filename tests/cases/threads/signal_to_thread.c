// pthread_kill reaches that thread; a process signal goes to a thread that does not block it.
#include "../case.h"
static _Atomic pid_t where;
static void handler(int sig) {
    where = gettid();
}
static _Atomic pid_t tid;
static _Atomic int stop;
static void *work(void *arg) {
    tid = gettid();
    while (!stop)
        nap(1);
    return NULL;
}
int main(void) {
    on(SIGUSR1, handler);
    on(SIGUSR2, handler);
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    while (!tid)
        sched_yield();
    ERR(pthread_kill(t, SIGUSR1));
    while (!where)
        sched_yield();
    IS(where == tid);
    where = 0;
    mask(SIG_BLOCK, SIGUSR2);
    NUM(kill(getpid(), SIGUSR2));
    while (!where)
        sched_yield();
    IS(where == tid);
    where = 0;
    ERR(pthread_kill(pthread_self(), SIGUSR1));
    IS(where == gettid());
    ERR(pthread_kill(t, 0));
    ERR(pthread_kill(t, 65));
    stop = 1;
    pthread_join(t, NULL);
    NUM(tgkill(getpid(), tid, SIGUSR1));
    NUM(tgkill(getpid() + 1, gettid(), SIGUSR1));
    NUM(tgkill(-1, gettid(), SIGUSR1));
}

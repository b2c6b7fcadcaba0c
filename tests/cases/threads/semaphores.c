// POSIX semaphores: unnamed, shared between processes, timed, at their limit.
#include "../case.h"
#include <semaphore.h>
int main(void) {
    sem_t *s = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    NUM(sem_init(s, 1, 2));
    NUM(sem_trywait(s));
    NUM(sem_wait(s));
    NUM(sem_trywait(s));
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    NUM(sem_timedwait(s, &until));
    until.tv_nsec = 1000000000;
    NUM(sem_timedwait(s, &until));
    pid_t pid = MUST(fork());
    if (!pid) {
        for (int i = 0; i < 5; i++)
            sem_post(s);
        _exit(0);
    }
    for (int i = 0; i < 5; i++)
        sem_wait(s);
    reap("child", pid);
    int value = -1;
    NUM(sem_getvalue(s, &value));
    NUM(value);
    NUM(sem_init(s + 1, 0, SEM_VALUE_MAX));
    NUM(sem_post(s + 1));
    NUM(sem_init(s + 1, 0, SEM_VALUE_MAX + 1u));
}

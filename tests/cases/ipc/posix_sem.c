// Named semaphores between processes.
#include "../case.h"
#include <semaphore.h>
int main(void) {
    const char *name = "/husk-case-sem";
    sem_unlink(name);
    sem_t *s = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    say("%s", s == SEM_FAILED ? errname(errno) : "opened");
    say("%s", sem_open(name, O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED ? errname(errno) : "opened");
    IS(sem_open(name, 0) == s);
    pid_t pid = MUST(fork());
    if (!pid) {
        sem_t *t = sem_open(name, 0);
        nap(10);
        sem_post(t), sem_post(t);
        _exit(0);
    }
    NUM(sem_wait(s)), NUM(sem_wait(s)), NUM(sem_trywait(s));
    reap("poster", pid);
    NUM(sem_close(s)), NUM(sem_unlink(name));
    say("%s", sem_open(name, 0) == SEM_FAILED ? errname(errno) : "opened");
}

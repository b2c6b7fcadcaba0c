// System V semaphores: several operations at once, waiting for zero, undo, counters of waiters, removal wakes.
#include "../case.h"
#include <sys/ipc.h>
#include <sys/sem.h>
union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};
int main(void) {
    int id = TRY(semget(IPC_PRIVATE, 3, IPC_CREAT | 0600));
    unsigned short v[3] = {1, 2, 0};
    NUM(semctl(id, 0, SETALL, (union semun){.array = v})), NUM(semctl(id, 1, GETVAL));
    struct sembuf both[2] = {{0, -1, IPC_NOWAIT}, {1, -3, IPC_NOWAIT}};
    NUM(semop(id, both, 2)), NUM(semctl(id, 0, GETVAL));
    both[1].sem_op = -2;
    NUM(semop(id, both, 2)), NUM(semctl(id, 0, GETVAL)), NUM(semctl(id, 1, GETVAL));
    IS(semctl(id, 0, GETPID) == getpid());
    pid_t pid = MUST(fork());
    if (!pid) {
        struct sembuf down = {2, -1, 0};
        _exit(semop(id, &down, 1) ? errno : 0);
    }
    for (int i = 0; i < 2000 && semctl(id, 2, GETNCNT) == 0; i++)
        nap(1);
    NUM(semctl(id, 2, GETNCNT));
    struct sembuf up = {2, 1, 0};
    NUM(semop(id, &up, 1));
    reap("waiter", pid);
    pid = MUST(fork());
    if (!pid) {
        struct sembuf change = {0, 5, SEM_UNDO};
        semop(id, &change, 1);
        _exit(semctl(id, 0, GETVAL));
    }
    reap("with undo", pid);
    NUM(semctl(id, 0, GETVAL));
    NUM(semctl(id, 0, SETVAL, (union semun){.val = 1}));
    pid = MUST(fork());
    if (!pid) {
        struct sembuf zero = {0, 0, 0};
        _exit(semop(id, &zero, 1) ? errno : 0);
    }
    for (int i = 0; i < 2000 && semctl(id, 0, GETZCNT) == 0; i++)
        nap(1);
    NUM(semctl(id, 0, SETVAL, (union semun){.val = 0}));
    reap("waiter for zero", pid);
    struct timespec t = {0, 20000000};
    struct sembuf down = {0, -1, 0};
    NUM(semtimedop(id, &down, 1, &t));
    up.sem_num = 9;
    NUM(semop(id, &up, 1)), NUM(semctl(id, 0, SETVAL, (union semun){.val = 40000})), NUM(semop(id, &down, 0));
    pid = MUST(fork());
    if (!pid)
        _exit(semop(id, &down, 1) ? errno == EIDRM ? 1 : 2 : 0);
    for (int i = 0; i < 2000 && semctl(id, 0, GETNCNT) == 0; i++)
        nap(1);
    NUM(semctl(id, 0, IPC_RMID));
    reap("removed", pid);
    NUM(semctl(id, 0, GETVAL));
    TRY(semget(0x4855534c, 1, 0));
}

// A segment by key outlives its maker and is found by another program; exec detaches.
#include "../case.h"
#include <sys/shm.h>
int main(int argc, char **argv) {
    key_t key = 0x48555350;
    if (argc > 1) {
        int id = shmget(key, 0, 0);
        struct shmid_ds d;
        NUM(shmctl(id, IPC_STAT, &d)), NUM(d.shm_nattch);
        char *a = shmat(id, NULL, 0);
        say("%s", a);
        NUM(shmctl(id, IPC_RMID, NULL));
        return 0;
    }
    pid_t pid = MUST(fork());
    if (!pid) {
        char *a = shmat(MUST(shmget(key, 100, IPC_CREAT | 0600)), NULL, 0);
        strcpy(a, "left behind");
        _exit(0);
    }
    reap("maker", pid);
    pid = MUST(fork());
    if (!pid) {
        shmat(shmget(key, 0, 0), NULL, 0);
        execl("/proc/self/exe", "x", "y", NULL);
    }
    reap("finder", pid);
}

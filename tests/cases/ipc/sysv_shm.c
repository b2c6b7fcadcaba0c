// System V shared memory: keys, attach twice and at an address, removal while attached, limits and modes.
#include "../case.h"
#include <sys/shm.h>
int main(void) {
    int id = TRY(shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600));
    char *a = TRY((char *)shmat(id, NULL, 0));
    IS(((uintptr_t)a & 4095) == 0);
    NUM(a[0] + a[9999]);
    strcpy(a, "shared");
    char *b = TRY((char *)shmat(id, NULL, SHM_RDONLY));
    say("%s", b);
    struct shmid_ds d;
    NUM(shmctl(id, IPC_STAT, &d));
    say("size %ld attached %ld mode %o own %d", (long)d.shm_segsz, (long)d.shm_nattch, d.shm_perm.mode, d.shm_cpid == getpid() && d.shm_perm.uid == geteuid());
    pid_t pid = MUST(fork());
    if (!pid) {
        strcpy(a, "from the child");
        shmctl(id, IPC_STAT, &d);
        NUM(d.shm_nattch);
        _exit(0);
    }
    reap("child", pid);
    say("%s", b);
    shmctl(id, IPC_STAT, &d);
    NUM(d.shm_nattch);
    NUM(shmctl(id, IPC_RMID, NULL));
    strcpy(a, "after removal");
    say("%s", b);
    NUM(shmctl(id, IPC_STAT, &d)), NUM(d.shm_perm.mode & SHM_DEST);
    NUM(shmdt(b)), NUM(shmdt(b)), NUM(shmdt(a)), NUM(shmctl(id, IPC_STAT, &d));
    TRY(shmat(id, NULL, 0));
    key_t key = 0x4855534b;
    id = TRY(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600));
    TRY(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600));
    IS(shmget(key, 0, 0) == id);
    TRY(shmget(key, 8192, 0));
    TRY(shmget(key + 1, 4096, 0));
    TRY(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600));
    char *hole = MUST(mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(shmat(id, hole + 4096, 0));
    IS(shmat(id, hole + 4096 + 5, SHM_RND | SHM_REMAP) == hole + 4096);
    TRY(shmat(id, hole + 5, 0));
    NUM(shmdt(hole + 4096));
    NUM(shmctl(id, IPC_RMID, NULL)), NUM(shmctl(id, IPC_RMID, NULL));
}

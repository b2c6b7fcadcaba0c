// shm_open: names, modes, sizes, unlinked while mapped, between processes.
#include "../case.h"
int main(void) {
    const char *name = "/husk-case-shm";
    shm_unlink(name);
    int fd = TRY(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    NUM(fcntl(fd, F_GETFD));
    TRY(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    NUM(ftruncate(fd, 8192));
    int *m = TRY((int *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        int own = MUST(shm_open(name, O_RDWR, 0));
        int *n = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0));
        n[1000] = 77;
        struct stat s;
        fstat(own, &s);
        NUM(s.st_size);
        _exit(0);
    }
    reap("child", pid);
    NUM(m[1000]);
    NUM(shm_unlink(name)), NUM(shm_unlink(name));
    m[5] = 3;
    NUM(m[5]);
    TRY(shm_open(name, O_RDWR, 0));
    TRY(shm_open("no/slash", O_RDWR | O_CREAT, 0600));
}

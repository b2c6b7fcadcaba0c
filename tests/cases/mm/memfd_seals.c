// memfd seals: what each forbids, and that seals only grow.
#include "../case.h"
int main(void) {
    int fd = MUST(memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    NUM(fcntl(fd, F_GETFD));
    NUM(fcntl(fd, F_GET_SEALS));
    NUM(ftruncate(fd, 8192));
    NUM(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    NUM(ftruncate(fd, 4096));
    NUM(ftruncate(fd, 12288));
    NUM(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    NUM(ftruncate(fd, 16384));
    NUM(pwrite(fd, "x", 1, 12288));
    NUM(pwrite(fd, "x", 1, 0));
    char *m = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    NUM(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(m, 4096);
    NUM(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    NUM(pwrite(fd, "x", 1, 0));
    TRY(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    TRY(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
    NUM(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    NUM(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    NUM(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    NUM(fcntl(fd, F_GET_SEALS));
    int plain = MUST(memfd_create("plain", 0));
    NUM(fcntl(plain, F_GET_SEALS));
    NUM(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE));
    char link[64], path[64];
    sprintf(path, "/proc/self/fd/%d", plain);
    link[MUST(readlink(path, link, 63))] = 0;
    say("%s", link);
    struct stat s;
    fstat(plain, &s);
    say("mode %o links %ld", s.st_mode, (long)s.st_nlink);
    NUM(memfd_create("x", 0x1000));
    char name[300];
    memset(name, 'n', 299);
    name[299] = 0;
    NUM(memfd_create(name, 0));
    NUM(fcntl(0, F_GET_SEALS));
    int again = TRY(open(path, O_RDWR));
    NUM(write(again, "abc", 3));
    NUM(lseek(plain, 0, SEEK_END));
}

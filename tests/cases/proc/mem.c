// /proc/self/mem reads and writes mapped memory, also read-only pages, and fails on holes.
#include "../case.h"
int main(void) {
    int fd = MUST(open("/proc/self/mem", O_RDWR));
    char *a = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    strcpy(a, "direct");
    char b[16] = "";
    NUM(pread(fd, b, 7, (off_t)a));
    say("%s", b);
    NUM(pwrite(fd, "CHANGE", 6, (off_t)a));
    say("%s", a);
    MUST(mprotect(a, 4096, PROT_READ));
    NUM(pwrite(fd, "forced", 6, (off_t)a));
    say("%s", a);
    MUST(munmap(a + 4096, 4096));
    NUM(pread(fd, b, 10, (off_t)a + 4090)), NUM(pread(fd, b, 10, (off_t)a + 4096)), NUM(pread(fd, b, 1, 0));
    NUM(lseek(fd, (off_t)a, SEEK_SET) == (off_t)a), NUM(read(fd, b, 3));
}

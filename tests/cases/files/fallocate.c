// fallocate: space, keep size, holes, zeroing; the refused modes.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    struct stat s;
    NUM(fallocate(fd, 0, 0, 10000));
    fstat(fd, &s);
    NUM(s.st_size);
    IS(s.st_blocks >= 20);
    NUM(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40960));
    fstat(fd, &s);
    NUM(s.st_size);
    char data[20000], text[20000];
    memset(data, 'x', sizeof data);
    pwrite(fd, data, sizeof data, 0);
    NUM(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 9000));
    pread(fd, text, sizeof text, 0);
    int zeros = 0;
    for (int i = 0; i < 20000; i++)
        zeros += text[i] == 0;
    NUM(zeros);
    say("%d %d %d %d", text[99], text[100], text[9099], text[9100]);
    NUM(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
    NUM(fallocate(fd, 0, -1, 10));
    NUM(fallocate(fd, 0, 0, 0));
    NUM(fallocate(fd, 0x4000, 0, 10));
    NUM(fallocate(MUST(open("f", O_RDONLY)), 0, 0, 10));
    int p[2];
    MUST(pipe(p));
    NUM(fallocate(p[1], 0, 0, 10));
    NUM(fallocate(MUST(open(".", O_RDONLY)), 0, 0, 10));
    ERR(posix_fallocate(fd, 0, 30000));
    fstat(fd, &s);
    NUM(s.st_size);
    ERR(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    ERR(posix_fadvise(fd, 0, 0, 99));
    ERR(posix_fadvise(p[0], 0, 0, POSIX_FADV_NORMAL));
}

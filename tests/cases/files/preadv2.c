// Vectored and positioned reads and writes, their flags and their limits.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    struct iovec v[3] = {{"one", 3}, {"", 0}, {"two", 3}};
    NUM(writev(fd, v, 3));
    NUM(pwritev(fd, v, 3, 10));
    NUM(pwritev2(fd, v, 1, -1, 0));
    NUM(lseek(fd, 0, SEEK_CUR));
    NUM(pwritev2(fd, v, 1, 0, RWF_APPEND));
    NUM(lseek(fd, 0, SEEK_END));
    char a[5] = "", b[9] = "";
    struct iovec r[2] = {{a, 4}, {b, 8}};
    NUM(preadv(fd, r, 2, 0));
    say("%s|%.5s", a, b);
    lseek(fd, 16, SEEK_SET);
    NUM(preadv2(fd, r, 2, -1, 0));
    say("%.3s", a);
    NUM(preadv2(fd, r, 2, 0, 0x10000));
    NUM(pwritev2(fd, v, 1, 0, RWF_DSYNC));
    NUM(preadv(fd, r, 2, -5));
    NUM(pread(fd, a, 4, -5));
    NUM(readv(fd, r, 0));
    NUM(readv(fd, r, -1));
    NUM(readv(fd, r, 1025));
    struct iovec huge[2] = {{a, SIZE_MAX / 2}, {b, SIZE_MAX / 2}};
    NUM(readv(fd, huge, 2));
    int p[2];
    MUST(pipe(p));
    NUM(pread(p[0], a, 1, 0));
    NUM(pwritev(p[1], v, 1, 0));
    NUM(preadv2(p[0], r, 1, -1, RWF_NOWAIT));
    NUM(write(MUST(open("f", O_RDONLY)), "x", 1));
    NUM(read(fd, (void *)8, 0));
    NUM(pread(fd, a, 4, LONG_MAX));
}

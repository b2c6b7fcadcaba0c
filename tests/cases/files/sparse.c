// SEEK_DATA and SEEK_HOLE in a sparse file; holes read zero.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    char page[4096];
    memset(page, 'd', 4096);
    pwrite(fd, page, 4096, 16 * 4096);
    pwrite(fd, page, 100, 40 * 4096);
    NUM(lseek(fd, 0, SEEK_DATA) / 4096);
    NUM(lseek(fd, 16 * 4096 + 5, SEEK_DATA));
    NUM(lseek(fd, 0, SEEK_HOLE));
    NUM(lseek(fd, 16 * 4096, SEEK_HOLE) / 4096);
    NUM(lseek(fd, 20 * 4096, SEEK_DATA) / 4096);
    NUM(lseek(fd, 40 * 4096, SEEK_HOLE));
    NUM(lseek(fd, 40 * 4096 + 100, SEEK_DATA));
    NUM(lseek(fd, 1 << 30, SEEK_HOLE));
    NUM(lseek(fd, -1, SEEK_DATA));
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_size);
    NUM(s.st_blocks);
    NUM(pread(fd, page, 4096, 30 * 4096));
    NUM(page[0] + page[4095]);
    NUM(ftruncate(fd, 50 * 4096));
    NUM(lseek(fd, 41 * 4096, SEEK_DATA));
}

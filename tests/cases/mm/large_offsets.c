// File offsets beyond 4 GiB in files and mappings.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    off_t far = 5L << 30;
    NUM(pwrite(fd, "far away", 8, far));
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_size - far);
    char *m = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, far - 4096));
    say("%s %d", m + 4096, m[0]);
    m[0] = 'x';
    char c;
    NUM(pread(fd, &c, 1, far - 4096));
    say("%c", c);
    NUM(lseek(fd, far + 2, SEEK_SET) == far + 2), NUM(read(fd, &c, 1));
    say("%c", c);
    NUM(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, far - 4096, 8192));
    say("%d %d", m[0], m[4096]);
    TRY(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, -4096));
}

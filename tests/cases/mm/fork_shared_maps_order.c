// MAP_SHARED file pages first touched by a child are seen by the parent and by a later reader of the file.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    MUST(ftruncate(fd, 64 * 4096));
    char *m = MUST(mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    for (int i = 0; i < 8; i++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            for (int j = i; j < 64; j += 8)
                m[j * 4096 + i] = 'a' + i;
            _exit(0);
        }
        reap("writer", pid);
    }
    int bad = 0;
    for (int j = 0; j < 64; j++)
        bad += m[j * 4096 + j % 8] != 'a' + j % 8;
    NUM(bad);
    char c;
    for (int j = 0; j < 64; j++) {
        pread(fd, &c, 1, j * 4096 + j % 8);
        bad += c != 'a' + j % 8;
    }
    NUM(bad);
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_blocks);
}

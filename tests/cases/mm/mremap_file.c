// A moved file mapping keeps file, offset and sharing; grown parts show the file behind.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    for (int i = 0; i < 8; i++) {
        char page[4096];
        memset(page, 'a' + i, 4096);
        MUST(write(fd, page, 4096));
    }
    char *a = MUST(mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(mmap(a, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 4096));
    char *b = TRY(mremap(a, 2 * 4096, 5 * 4096, MREMAP_MAYMOVE));
    say("%c %c %c", b[0], b[4096], b[4 * 4096]);
    b[4 * 4096] = 'X';
    char c;
    pread(fd, &c, 1, 5 * 4096);
    say("%c", c);
    char *p = MUST(mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    p[0] = '1';
    p = MUST(mremap(p, 2 * 4096, 3 * 4096, MREMAP_MAYMOVE));
    say("%c %c %c", p[0], p[4096], p[8192]);
    pread(fd, &c, 1, 0);
    say("%c", c);
}

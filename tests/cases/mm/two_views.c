// Two mappings of one page at different addresses, one writable, one executable, one read-only.
#include "../case.h"
int main(void) {
    int fd = MUST(memfd_create("x", 0));
    MUST(ftruncate(fd, 4096));
    unsigned char *w = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    unsigned char *r = MUST(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
    int (*x)(void) = (int (*)(void))MUST(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
    unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3};
    memcpy(w, code, 6);
    int bad = 0;
    for (int i = 0; i < 200; i++) {
        w[1] = i;
        bad += r[1] != (unsigned char)i || x() != i % 256;
    }
    NUM(bad);
    unsigned char call[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(w, call, 8);
    for (int i = 0; i < 5; i++)
        bad += x() != getpid();
    NUM(bad);
    NUM(memcmp(r, w, 64));
    IS(x() == getpid());
}

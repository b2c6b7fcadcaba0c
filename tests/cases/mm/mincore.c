// mincore says which pages are there.
#include "../case.h"
int main(void) {
    char *a = MUST(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(madvise(a, 4 * 4096, MADV_NOHUGEPAGE));
    a[4096] = 1;
    unsigned char v[4] = {9, 9, 9, 9};
    NUM(mincore(a, 4 * 4096, v));
    say("touched %d", v[1] & 1);
    NUM(mincore(a + 1, 4096, v));
    NUM(mincore(a, 4096, (void *)8));
    MUST(munmap(a + 8192, 4096));
    NUM(mincore(a, 4 * 4096, v));
    NUM(mincore((void *)0x10000, 4096, v));
}

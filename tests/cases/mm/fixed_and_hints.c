// MAP_FIXED replaces, MAP_FIXED_NOREPLACE refuses, a free hint is taken and a taken one is not.
#include "../case.h"
int main(void) {
    char *a = MUST(mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(a, 1, 5 * 4096);
    IS(mmap(a + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == a + 4096);
    say("%d %d %d", a[4095], a[4096], a[8192]);
    TRY(mmap(a + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    MUST(munmap(a + 2 * 4096, 4096));
    IS(mmap(a + 2 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == a + 8192);
    MUST(munmap(a + 2 * 4096, 4096));
    IS(mmap(a + 2 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == a + 8192);
    char *b = MUST(mmap(a, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    IS(b != a);
    NUM(a[3 * 4096]);
    char *c = MUST(mmap((void *)0x200000000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    IS(c == (void *)0x200000000000);
    char *low = MUST(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
    IS((uintptr_t)low < 1UL << 31);
    IS(mmap((void *)0x10000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)0x10000);
}

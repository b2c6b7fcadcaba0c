// mremap: shrink, grow in place, move, refuse, fixed, old kept with DONTUNMAP.
#include "../case.h"
int main(void) {
    char *a = MUST(mmap(NULL, 10 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < 10; i++)
        a[i * 4096] = i + 1;
    IS(mremap(a, 10 * 4096, 5 * 4096, 0) == a);
    IS(mremap(a, 5 * 4096, 8 * 4096, 0) == a);
    say("%d %d %d", a[0], a[4 * 4096], a[5 * 4096]);
    MUST(mmap(a + 8 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mremap(a, 8 * 4096, 20 * 4096, 0));
    char *b = TRY(mremap(a, 8 * 4096, 20 * 4096, MREMAP_MAYMOVE));
    IS(b != a);
    say("%d %d %d", b[0], b[4 * 4096], b[19 * 4096]);
    NUM(msync(a, 4096, MS_ASYNC));
    char *target = MUST(mmap(NULL, 40 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    IS(mremap(b, 20 * 4096, 30 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, target + 4096) == target + 4096);
    b = target + 4096;
    say("%d %d", b[0], b[4 * 4096]);
    TRY(mremap(b, 4096, 4096, MREMAP_FIXED, target));
    TRY(mremap(b, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, b));
    TRY(mremap(b + 1, 4096, 8192, MREMAP_MAYMOVE));
    TRY(mremap(b, 4096, 0, MREMAP_MAYMOVE));
    TRY(mremap((void *)0x10000, 4096, 8192, MREMAP_MAYMOVE));
    TRY(mremap(b, 4096, 8192, 0x80));
    b[4096] = 44;
    char *c = TRY(mremap(b, 2 * 4096, 2 * 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    say("%d %d, old %d", c[0], c[4096], b[4096]);
    // A shared mapping of size 0 is doubled.
    char *s = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    char *d = TRY(mremap(s, 0, 4096, MREMAP_MAYMOVE));
    s[5] = 66;
    NUM(d[5]);
    // Across two mappings.
    char *two = MUST(mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(mprotect(two, 4096, PROT_READ));
    TRY(mremap(two, 2 * 4096, 4 * 4096, MREMAP_MAYMOVE));
}

// A reservation of 64 GiB costs nothing; pages touched far apart in it work.
#include "../case.h"
int main(void) {
    size_t size = 64UL << 30;
    char *a = TRY((char *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    for (size_t i = 0; i < size; i += size / 16)
        a[i] = i >> 32;
    long sum = 0;
    for (size_t i = 0; i < size; i += size / 16)
        sum += a[i];
    NUM(sum);
    NUM(munmap(a + size / 2, size / 4));
    NUM(madvise(a, size / 4, MADV_DONTNEED));
    NUM(a[size / 16]);
    char *none = TRY((char *)mmap(NULL, 1UL << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    NUM(mprotect(none + (1UL << 39), 1 << 20, PROT_READ | PROT_WRITE));
    none[(1UL << 39) + 5] = 3;
    NUM(none[(1UL << 39) + 5]);
}

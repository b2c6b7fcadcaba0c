// What mmap refuses.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "text");
    int ro = MUST(open("f", O_RDONLY)), wo = MUST(open("f", O_WRONLY)), dir = MUST(open(".", O_RDONLY));
    TRY(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 900, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, ro, 1));
    TRY(mmap((void *)1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, wo, 0));
    TRY(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, ro, 0));
    TRY(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, dir, 0));
    TRY(mmap(NULL, (size_t)1 << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, SIZE_MAX, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | 0x8000000, -1, 0));
    TRY(mmap((void *)0x7ffffffff000, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    int p[2];
    MUST(pipe(p));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, p[0], 0));
    NUM(munmap((void *)4096, 0));
    NUM(munmap((void *)4097, 4096));
    NUM(munmap((void *)0x7ffffffff000, 1UL << 60));
    char *a = MUST(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    NUM(munmap(a, 4096));
    NUM(munmap(a, 4096));
}

// Locking memory within the limit, beyond it, and on gaps.
#include "../case.h"
int main(void) {
    char *a = MUST(mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    NUM(mlock(a, 4096));
    NUM(munlock(a, 4096));
    NUM(mlock2(a, 4096, MLOCK_ONFAULT));
    NUM(mlock2(a, 4096, 8));
    MUST(munmap(a + 4096, 4096));
    NUM(mlock(a, 3 * 4096));
    NUM(munlock(a, 3 * 4096));
    NUM(munlockall());
    NUM(mlockall(0));
    NUM(mlockall(8));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0));
}

// RLIMIT_AS and RLIMIT_DATA bound mappings with ENOMEM; malloc then fails properly.
#include "../case.h"
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid) {
        struct rlimit limit = {256 << 20, 256 << 20};
        MUST(setrlimit(RLIMIT_AS, &limit));
        TRY(mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        TRY(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        IS(malloc(600 << 20) == NULL);
        IS(malloc(1 << 20) != NULL);
        _exit(0);
    }
    reap("as", pid);
    struct rlimit limit = {64 << 20, 64 << 20};
    MUST(setrlimit(RLIMIT_DATA, &limit));
    TRY(mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, 100 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

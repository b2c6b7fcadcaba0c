// Page 0 cannot be read; fresh memory is zero however it was used before.
#include "../case.h"
int main(void) {
    int bad = 0;
    for (int round = 0; round < 20; round++) {
        char *a = MUST(mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        for (int i = 0; i < 64 * 4096; i += 64)
            bad += a[i] != 0;
        memset(a, 0xff, 64 * 4096);
        pid_t pid = fork();
        if (!pid) {
            memset(a, 0xee, 64 * 4096);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        MUST(munmap(a, 64 * 4096));
    }
    NUM(bad);
    pid_t pid = fork();
    if (!pid) {
        volatile char *null = 0;
        __asm__("" : "+r"(null));
        _exit(*null);
    }
    reap("null", pid);
}

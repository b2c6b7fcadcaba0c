// Thousands of small mappings with different rights, holes and merges; each keeps its own bytes.
#include "../case.h"
int main(void) {
    enum { N = 3000 };
    char *a = MUST(mmap(NULL, N * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < N; i++)
        a[i * 4096 + 7] = i * 7;
    int failed = 0;
    for (int i = 0; i < N; i += 2)
        failed += mprotect(a + i * 4096, 4096, PROT_READ) != 0;
    for (int i = 1; i < N; i += 4)
        failed += munmap(a + i * 4096, 4096) != 0;
    for (int i = 0; i < N; i += 2)
        failed += mprotect(a + i * 4096, 4096, PROT_READ | PROT_WRITE) != 0;
    NUM(failed);
    int bad = 0;
    for (int i = 0; i < N; i++)
        if (i % 4 != 1)
            bad += a[i * 4096 + 7] != (char)(i * 7);
    NUM(bad);
    for (int i = 1; i < N; i += 4)
        bad += mmap(a + i * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != a + i * 4096;
    for (int i = 1; i < N; i += 4)
        bad += a[i * 4096 + 7];
    NUM(bad);
    pid_t pid = MUST(fork());
    if (!pid) {
        for (int i = 0; i < N; i++)
            if (i % 4 != 1)
                bad += a[i * 4096 + 7] != (char)(i * 7);
        _exit(bad != 0);
    }
    reap("child", pid);
    NUM(munmap(a, N * 4096));
}

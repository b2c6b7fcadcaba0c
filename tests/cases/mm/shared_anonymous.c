// MAP_SHARED | MAP_ANONYMOUS is shared with children and grandchildren, also memory touched only later.
#include "../case.h"
int main(void) {
    int *m = MUST(mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    m[0] = 1;
    pid_t pid = MUST(fork());
    if (!pid) {
        m[1024 * 10] = m[0] + 1;
        pid_t grand = fork();
        if (!grand) {
            m[1024 * 20] = m[1024 * 10] + 1;
            MUST(munmap(m, 4096));
            _exit(0);
        }
        waitpid(grand, NULL, 0);
        m[1024 * 30] = m[1024 * 20] + 1;
        _exit(0);
    }
    reap("child", pid);
    say("%d %d %d %d", m[0], m[1024 * 10], m[1024 * 20], m[1024 * 30]);
    int counters = 0;
    for (int i = 0; i < 4; i++) {
        pid = MUST(fork());
        if (!pid) {
            for (int j = 0; j < 5000; j++)
                __atomic_fetch_add(&m[5], 1, __ATOMIC_SEQ_CST);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        counters++;
    say("%d from %d", m[5], counters);
}

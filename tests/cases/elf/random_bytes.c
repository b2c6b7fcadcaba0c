// AT_RANDOM gives 16 bytes that differ between two executions.
#include "../case.h"
#include <sys/auxv.h>
int main(int argc, char **argv) {
    if (argc > 1) {
        write(atoi(argv[1]), (void *)getauxval(AT_RANDOM), 16);
        return 0;
    }
    char got[2][16];
    for (int i = 0; i < 2; i++) {
        int p[2];
        MUST(pipe(p));
        char text[12];
        sprintf(text, "%d", p[1]);
        pid_t pid = MUST(fork());
        if (!pid) {
            execl("/proc/self/exe", "x", text, NULL);
            _exit(9);
        }
        close(p[1]);
        NUM(read(p[0], got[i], 16));
        reap("child", pid);
        close(p[0]);
    }
    IS(memcmp(got[0], got[1], 16) != 0);
    IS(memcmp(got[0], "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) != 0);
}

// The personality of a process is 0 at first; ADDR_NO_RANDOMIZE makes two executions alike.
#include "../case.h"
#include <sys/personality.h>
int main(int argc, char **argv) {
    static int variable;
    if (argc > 1) {
        uintptr_t where[2] = {(uintptr_t)&variable, (uintptr_t)&argc};
        write(atoi(argv[1]), where, sizeof where);
        return 0;
    }
    NUM(personality(0xffffffff));
    NUM(personality(ADDR_NO_RANDOMIZE));
    NUM(personality(0xffffffff));
    uintptr_t seen[2][2];
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
        MUST(read(p[0], seen[i], sizeof seen[i]));
        reap("child", pid);
        close(p[0]), close(p[1]);
    }
    IS(seen[0][0] == seen[1][0]);
    IS(seen[0][1] == seen[1][1]);
}

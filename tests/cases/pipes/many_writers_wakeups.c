// Many blocked readers: each byte wakes exactly one of them.
#include "../case.h"
int main(void) {
    int p[2], done[2];
    MUST(pipe(p)), MUST(pipe(done));
    pid_t pids[8];
    for (int i = 0; i < 8; i++) {
        pids[i] = MUST(fork());
        if (!pids[i]) {
            close(p[1]);
            char c;
            int n = 0;
            while (read(p[0], &c, 1) == 1) {
                n++;
                write(done[1], "d", 1);
            }
            _exit(0);
        }
    }
    close(p[0]);
    char c;
    for (int i = 0; i < 500; i++) {
        MUST(write(p[1], "x", 1));
        if (i % 3 == 0) {
            MUST(read(done[0], &c, 1));
        }
    }
    close(p[1]);
    for (int i = 0; i < 8; i++)
        reap("reader", pids[i]);
    close(done[1]);
    int rest = 0;
    while (read(done[0], &c, 1) == 1)
        rest++;
    NUM(rest);
}

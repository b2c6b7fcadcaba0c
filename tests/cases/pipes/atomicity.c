// Writes of PIPE_BUF bytes and less are whole, however many writers there are.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe(p));
    for (int i = 0; i < 4; i++)
        if (!MUST(fork())) {
            char block[512];
            memset(block, 'a' + i, sizeof block);
            for (int j = 0; j < 400; j++)
                MUST(write(p[1], block, sizeof block));
            _exit(0);
        }
    close(p[1]);
    int counts[4] = {0}, torn = 0;
    char block[512];
    for (;;) {
        size_t n = 0;
        ssize_t r;
        while (n < 512 && (r = read(p[0], block + n, 512 - n)) > 0)
            n += r;
        if (n < 512)
            break;
        for (int i = 1; i < 512; i++)
            torn += block[i] != block[0];
        counts[block[0] - 'a']++;
    }
    NUM(torn);
    say("%d %d %d %d", counts[0], counts[1], counts[2], counts[3]);
    // A non-blocking atomic write is all or nothing; a larger one may be cut.
    int q[2];
    MUST(pipe2(q, O_NONBLOCK));
    static char big[65536];
    NUM(write(q[1], big, 65536 - 100));
    NUM(write(q[1], big, 200));
    NUM(write(q[1], big, 4096));
    NUM(write(q[1], big, 5000));
}

// A reader waits for data, a writer for space; many small writes against large reads.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        char c;
        long n = read(p[0], &c, 1);
        _exit(n == 1 && c == 'x' ? 1 : 2);
    }
    wait_asleep(pid);
    write(p[1], "x", 1);
    reap("reader", pid);
    pid = MUST(fork());
    if (!pid) {
        close(p[0]);
        static char data[300000];
        for (int i = 0; i < 300000; i++)
            data[i] = i % 251;
        _exit(write(p[1], data, 300000) == 300000 ? 3 : 4);
    }
    close(p[1]);
    wait_asleep(pid);
    long total = 0, bad = 0;
    unsigned char buffer[7777];
    for (ssize_t n; (n = read(p[0], buffer, sizeof buffer)) > 0; total += n)
        for (int i = 0; i < n; i++)
            bad += buffer[i] != (total + i) % 251;
    NUM(total), NUM(bad);
    reap("writer", pid);
}

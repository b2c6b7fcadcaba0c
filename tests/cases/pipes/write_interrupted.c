// A blocked write that moved some bytes returns the count when a signal comes, one that moved none EINTR.
#include "../case.h"
static void handler(int sig) {}
int main(void) {
    on(SIGALRM, handler);
    int p[2];
    MUST(pipe(p));
    static char data[200000];
    ualarm(50000, 0);
    NUM(write(p[1], data, sizeof data));
    ualarm(50000, 0);
    NUM(write(p[1], data, sizeof data));
    ualarm(50000, 0);
    NUM(write(p[1], data, 10));
    while (read(p[0], data, 60000) == 60000)
        ;
    ualarm(50000, 0);
    NUM(read(p[0], data, 10));
}

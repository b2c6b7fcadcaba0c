// pselect: mask for the wait, constant time-out; high descriptors.
#include "../case.h"
#include <sys/select.h>
static volatile sig_atomic_t got;
static void handler(int sig) { got++; }
int main(void) {
    on(SIGUSR1, handler);
    mask(SIG_BLOCK, SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    struct timespec t = {1, 0};
    raise(SIGUSR1);
    fd_set r;
    int p[2];
    MUST(pipe(p));
    int high = MUST(fcntl(p[0], F_DUPFD, 1000));
    FD_ZERO(&r); FD_SET(high, &r);
    NUM(pselect(high + 1, &r, NULL, NULL, &t, &none));
    NUM(got);
    IS(t.tv_sec == 1 && t.tv_nsec == 0);
    write(p[1], "x", 1);
    FD_ZERO(&r); FD_SET(high, &r);
    NUM(pselect(high + 1, &r, NULL, NULL, &t, NULL));
    IS(FD_ISSET(high, &r));
    t.tv_nsec = 1000000000;
    NUM(pselect(0, NULL, NULL, NULL, &t, NULL));
}

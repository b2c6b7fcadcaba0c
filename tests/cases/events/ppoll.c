// ppoll: the mask is swapped for the wait, the rest of the time is not written back by the C call.
#include "../case.h"
static volatile sig_atomic_t got;
static void handler(int sig) { got++; }
int main(void) {
    on(SIGUSR1, handler);
    mask(SIG_BLOCK, SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    struct timespec t = {0, 30000000};
    raise(SIGUSR1);
    NUM(ppoll(NULL, 0, &t, NULL)), NUM(got);
    NUM(ppoll(NULL, 0, &t, &none)), NUM(got);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    NUM(sigismember(&now, SIGUSR1));
    t.tv_nsec = 1000000000;
    NUM(ppoll(NULL, 0, &t, NULL));
    t = (struct timespec){-1, 0};
    NUM(ppoll(NULL, 0, &t, NULL));
    t = (struct timespec){0, 0};
    int p[2];
    MUST(pipe(p));
    write(p[1], "x", 1);
    // A ready descriptor wins over a pending signal.
    raise(SIGUSR1);
    struct pollfd w = {p[0], POLLIN};
    NUM(ppoll(&w, 1, NULL, &none)), NUM(got);
    t = (struct timespec){1, 0};
    raise(SIGUSR1);
    NUM(syscall(SYS_ppoll, NULL, 0, &t, &none, 8));
    IS(t.tv_sec == 0 && t.tv_nsec > 900000000);
    NUM(syscall(SYS_ppoll, NULL, 0, &t, &none, 4));
}

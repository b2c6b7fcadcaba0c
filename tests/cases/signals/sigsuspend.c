// sigsuspend swaps the mask at once, waits for a handler, and puts the mask back.
#include "../case.h"
static volatile sig_atomic_t got, blocked;
static void handler(int sig) {
    got = sig;
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    blocked = sigismember(&set, SIGUSR2);
}
int main(void) {
    on(SIGUSR1, handler);
    on(SIGUSR2, handler);
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    NUM(sigsuspend(&set));
    NUM(got == SIGUSR1);
    NUM(blocked);
    sigprocmask(SIG_BLOCK, NULL, &set);
    NUM(sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGUSR2));
    pid_t me = getpid(), pid = MUST(fork());
    if (!pid) {
        wait_asleep(me);
        kill(me, SIGUSR1);
        _exit(0);
    }
    got = 0;
    sigemptyset(&set);
    NUM(sigsuspend(&set));
    NUM(got == SIGUSR1);
    while (waitpid(pid, NULL, 0) < 0)
        ;
    NUM(syscall(SYS_rt_sigsuspend, &set, 4));
}

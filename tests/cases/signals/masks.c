// Blocked signals wait, once each for the classic ones; sigprocmask's three ways; SIGKILL cannot be blocked.
#include "../case.h"
static volatile sig_atomic_t count;
static void handler(int sig) { count++; }
int main(void) {
    on(SIGUSR1, handler);
    on(SIGUSR2, handler);
    sigset_t set, old;
    sigfillset(&set);
    NUM(sigprocmask(SIG_SETMASK, &set, &old));
    sigprocmask(SIG_BLOCK, NULL, &set);
    NUM(sigismember(&set, SIGKILL));
    NUM(sigismember(&set, SIGSTOP));
    NUM(sigismember(&set, SIGUSR1));
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1), kill(getpid(), SIGUSR1), raise(SIGUSR2);
    NUM(count);
    sigpending(&set);
    NUM(sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGUSR2));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    NUM(sigprocmask(SIG_UNBLOCK, &set, NULL));
    NUM(count);
    NUM(sigprocmask(SIG_SETMASK, &old, NULL));
    NUM(count);
    NUM(sigprocmask(9, &set, NULL));
    NUM(sigprocmask(9, NULL, &set));
    NUM(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4));
    NUM(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8));
    NUM(syscall(SYS_rt_sigpending, &set, 16));
    // Ignoring a pending signal drops it.
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&set);
    NUM(sigismember(&set, SIGUSR1));
}

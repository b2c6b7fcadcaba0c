// sigaction returns what was set; SIGKILL and SIGSTOP are refused; bad numbers and pointers fail.
#include "../case.h"
static void handler(int sig) {}
int main(void) {
    struct sigaction a = {0}, old;
    a.sa_handler = handler;
    a.sa_flags = SA_RESTART | SA_NODEFER;
    sigemptyset(&a.sa_mask);
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaddset(&a.sa_mask, SIGKILL);
    NUM(sigaction(SIGUSR1, &a, NULL));
    NUM(sigaction(SIGUSR1, NULL, &old));
    IS(old.sa_handler == handler);
    IS((old.sa_flags & 0x7fffffff & ~0x04000000) == (SA_RESTART | SA_NODEFER));
    NUM(sigismember(&old.sa_mask, SIGUSR2));
    NUM(sigismember(&old.sa_mask, SIGKILL));
    NUM(sigaction(SIGKILL, &a, NULL));
    NUM(sigaction(SIGSTOP, &a, NULL));
    NUM(sigaction(SIGKILL, NULL, &old));
    NUM(sigaction(0, &a, NULL));
    NUM(sigaction(65, &a, NULL));
    NUM(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4));
    NUM(syscall(SYS_rt_sigaction, SIGUSR1, 8, NULL, 8));
    NUM(kill(getpid(), 65));
    NUM(kill(getpid(), -1));
    NUM(kill(0x3fffffff, SIGTERM));
    NUM(kill(-0x3fffffff, 0));
    NUM(kill(getpid(), 0));
    NUM(raise(0));
}

// F_SETOWN and O_ASYNC announce input by SIGIO or a chosen signal with the descriptor in siginfo.
#include "../case.h"
static siginfo_t got;
static volatile sig_atomic_t count;
static void handler(int sig, siginfo_t *i, void *c) {
    got = *i;
    count++;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGIO, &a, NULL);
    sigaction(SIGRTMIN + 1, &a, NULL);
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    NUM(fcntl(s[0], F_SETOWN, getpid()));
    IS(fcntl(s[0], F_GETOWN) == getpid());
    NUM(fcntl(s[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    IS((fcntl(s[0], F_GETFL) & O_ASYNC) != 0);
    write(s[1], "x", 1);
    for (int i = 0; i < 500 && !count; i++)
        nap(1);
    IS(got.si_signo == SIGIO && count > 0);
    NUM(fcntl(s[0], F_SETSIG, SIGRTMIN + 1));
    IS(fcntl(s[0], F_GETSIG) == SIGRTMIN + 1);
    count = 0;
    write(s[1], "x", 1);
    for (int i = 0; i < 500 && !count; i++)
        nap(1);
    IS(got.si_signo == SIGRTMIN + 1 && got.si_fd == s[0] && got.si_code == POLL_IN);
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    NUM(fcntl(s[0], F_SETOWN_EX, &owner));
    owner.pid = 0;
    NUM(fcntl(s[0], F_GETOWN_EX, &owner));
    IS(owner.type == F_OWNER_TID && owner.pid == gettid());
}

// signalfd delivers blocked signals as records, with poll, several at once, and the mask can change.
#include "../case.h"
#include <sys/signalfd.h>
int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = TRY(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    NUM(fcntl(fd, F_GETFD));
    struct signalfd_siginfo info[4];
    NUM(read(fd, info, sizeof info));
    struct pollfd w = {fd, POLLIN};
    NUM(poll(&w, 1, 0));
    union sigval v = {.sival_int = 5};
    sigqueue(getpid(), SIGRTMIN, v);
    v.sival_int = 6;
    sigqueue(getpid(), SIGRTMIN, v);
    kill(getpid(), SIGUSR1);
    NUM(poll(&w, 1, 0));
    NUM(read(fd, info, sizeof info) / (long)sizeof *info);
    say("%d %d %d", info[0].ssi_signo == SIGUSR1, info[1].ssi_int, info[2].ssi_int);
    IS(info[0].ssi_pid == getpid() && info[0].ssi_code == SI_USER);
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(9);
    poll(&w, 1, -1);
    NUM(read(fd, info, sizeof *info) / (long)sizeof *info);
    say("%d %d %d %d", info[0].ssi_signo == SIGCHLD, info[0].ssi_status, info[0].ssi_code, info[0].ssi_pid == pid);
    reap("child", pid);
    NUM(read(fd, info, 10));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    mask(SIG_BLOCK, SIGUSR2);
    IS(signalfd(fd, &set, 0) == fd);
    raise(SIGUSR1);
    NUM(read(fd, info, sizeof info));
    raise(SIGUSR2);
    NUM(read(fd, info, sizeof info) / (long)sizeof *info);
    NUM(signalfd(0, &set, 0));
    NUM(signalfd(-1, &set, 7));
    NUM(write(fd, info, 8));
}

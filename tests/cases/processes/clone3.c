// clone3: exit signal, a pidfd, parent's tid, and a chosen signal of none.
#include "../case.h"
int main(void) {
    int pidfd = -1, tid = 0;
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, n, cgroup;
    } a = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
           .pidfd = (uint64_t)&pidfd,
           .parent_tid = (uint64_t)&tid,
           .exit_signal = SIGCHLD};
    pid_t pid = MUST(syscall(SYS_clone3, &a, sizeof a));
    if (!pid)
        _exit(21);
    IS(tid == pid);
    IS(pidfd >= 0);
    NUM(fcntl(pidfd, F_GETFD));
    struct pollfd poll_it = {pidfd, POLLIN};
    NUM(poll(&poll_it, 1, -1));
    NUM(poll_it.revents);
    siginfo_t info = {0};
    NUM(waitid(P_PIDFD, pidfd, &info, WEXITED));
    NUM(info.si_status);
    IS(info.si_pid == pid);
    NUM(waitid(P_PIDFD, pidfd, &info, WEXITED));
    a.flags = 0, a.exit_signal = 0;
    pid = MUST(syscall(SYS_clone3, &a, sizeof a));
    if (!pid)
        _exit(22);
    int status;
    NUM(waitpid(pid, &status, 0));
    IS(waitpid(pid, &status, __WCLONE) == pid);
    say_status("child without a signal", status);
    a.exit_signal = SIGUSR1;
    mask(SIG_BLOCK, SIGUSR1);
    pid = MUST(syscall(SYS_clone3, &a, sizeof a));
    if (!pid)
        _exit(23);
    IS(waitpid(pid, &status, __WALL) == pid);
    say_status("child with SIGUSR1", status);
    sigset_t set;
    sigpending(&set);
    NUM(sigismember(&set, SIGUSR1));
    a.flags = 0x100000000ULL, a.exit_signal = SIGCHLD;
    on(SIGUSR2, (void (*)(int))abort);
    signal(SIGHUP, SIG_IGN);
    pid = MUST(syscall(SYS_clone3, &a, sizeof a));
    if (!pid) {
        struct sigaction x, y;
        sigaction(SIGUSR2, NULL, &x);
        sigaction(SIGHUP, NULL, &y);
        _exit((x.sa_handler == SIG_DFL) + 2 * (y.sa_handler == SIG_IGN));
    }
    reap("cleared", pid);
}

// Leases: who may have one, the signal and the wait when others come, giving way and lowering.
#include "../case.h"
static volatile sig_atomic_t signals, code, fd_told, lower_to = -1, lower_fd;
static void handler(int sig, siginfo_t *info, void *context) {
    signals++;
    code = info->si_code;
    fd_told = info->si_fd;
    if (lower_to >= 0)
        fcntl(lower_fd, F_SETLEASE, (int)lower_to);
}
static void await(int n) {
    for (int i = 0; i < 400 && signals < n; i++)
        nap(5);
    IS(signals == n);
}
static int finish(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        ;
    return WEXITSTATUS(status);
}
int main(void) {
    scratch();
    put("f", "text");
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGIO, &sa, NULL), sigaction(SIGRTMIN + 3, &sa, NULL);
    int rw = MUST(open("f", O_RDWR));
    NUM(fcntl(rw, F_SETLEASE, F_RDLCK)), NUM(fcntl(rw, F_SETLEASE, F_UNLCK)), NUM(fcntl(rw, F_SETLEASE, 7));
    NUM(fcntl(rw, F_SETLEASE, F_WRLCK)), NUM(fcntl(rw, F_GETLEASE)), NUM(fcntl(rw, F_GETOWN) == getpid());
    NUM(fcntl(rw, F_SETLEASE, F_RDLCK)), NUM(fcntl(rw, F_GETLEASE));
    NUM(fcntl(rw, F_SETLEASE, F_UNLCK)), NUM(fcntl(rw, F_GETOWN));
    int ro = MUST(open("f", O_RDONLY));
    NUM(fcntl(rw, F_SETLEASE, F_WRLCK)), NUM(fcntl(ro, F_SETLEASE, F_RDLCK));
    close(rw);
    int pipes[2], dir = MUST(open(".", O_RDONLY));
    MUST(pipe(pipes));
    NUM(fcntl(pipes[0], F_SETLEASE, F_RDLCK)), NUM(fcntl(dir, F_SETLEASE, F_RDLCK)), NUM(fcntl(dir, F_GETLEASE));
    // Who reads is welcome beside a lease for reading; who writes is not.
    NUM(fcntl(ro, F_SETLEASE, F_RDLCK));
    int second = MUST(open("f", O_RDONLY));
    NUM(fcntl(second, F_SETLEASE, F_RDLCK)), NUM(fcntl(second, F_SETLEASE, F_WRLCK)), NUM(fcntl(second, F_SETLEASE, F_UNLCK));
    close(second);
    NUM(signals);
    NUM(open("f", O_WRONLY | O_NONBLOCK));
    await(1);
    NUM(fcntl(ro, F_GETLEASE)), NUM(open("f", O_WRONLY | O_NONBLOCK)), NUM(signals);
    second = MUST(open("f", O_RDONLY));
    NUM(fcntl(second, F_SETLEASE, F_RDLCK));
    close(second);
    NUM(fcntl(ro, F_SETLEASE, F_UNLCK)), NUM(fcntl(ro, F_GETLEASE));
    TRY(rw = open("f", O_WRONLY | O_NONBLOCK));
    close(rw);
    // With a signal of its own choice; a child waits until the lease is given up.
    NUM(fcntl(ro, F_SETSIG, SIGRTMIN + 3)), NUM(fcntl(ro, F_SETLEASE, F_RDLCK));
    pid_t child = MUST(fork());
    if (!child) {
        close(ro);
        _exit(truncate("f", 2) ? 1 : 7);
    }
    await(2);
    NUM(code), NUM(fd_told == ro);
    say("given up");
    NUM(fcntl(ro, F_SETLEASE, F_UNLCK)), NUM(finish(child)), NUM(fcntl(ro, F_GETSIG));
    // A lease for writing is lowered for a reader by the handler.
    NUM(fcntl(ro, F_SETLEASE, F_WRLCK));
    lower_fd = ro, lower_to = F_RDLCK;
    child = MUST(fork());
    if (!child) {
        int mine = open("f", O_RDONLY);
        char text[8];
        _exit(mine >= 0 ? read(mine, text, 8) : 99);
    }
    NUM(finish(child)), await(3), NUM(fcntl(ro, F_GETLEASE));
    lower_to = -1;
    // It goes with the open file, whatever descriptors there are, and stays with a copy of it.
    int copy = dup(ro);
    close(ro);
    NUM(fcntl(copy, F_GETLEASE));
    NUM(open("f", O_WRONLY | O_NONBLOCK));
    close(copy);
    TRY(open("f", O_WRONLY | O_NONBLOCK));
    MUST(chmod(".", 0755));
    NUM(setuid(12345));
    int theirs = MUST(open("f", O_RDONLY));
    NUM(fcntl(theirs, F_SETLEASE, F_RDLCK));
}

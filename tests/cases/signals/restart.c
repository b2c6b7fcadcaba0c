// SA_RESTART restarts reads, waits and locks; without it they end with EINTR; sleeps always end so.
#include "../case.h"
static volatile sig_atomic_t count;
static void handler(int sig) { count++; }
static int p[2];
static struct timespec left;
static void try_it(const char *name, int what, int flags) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGUSR1, &a, NULL);
    count = 0;
    struct turns *result = new_turns();
    pid_t pid = MUST(fork());
    if (!pid) {
        char c;
        long r = -1;
        struct pollfd w = {p[0], POLLIN};
        struct timespec t = {3, 0};
        struct sockaddr_un un = {AF_UNIX};
        int status, fd;
        pass_turn(result);
        errno = 0;
        switch (what) {
        case 0:
            r = read(p[0], &c, 1);
            break;
        case 1:
            r = poll(&w, 1, 3000);
            break;
        case 2:
            r = nanosleep(&t, &left);
            if (r < 0)
                r = left.tv_sec < 3 && left.tv_sec + left.tv_nsec > 0 ? -1 : -7;
            break;
        case 3:
            fd = fork();
            if (!fd) {
                nap(700);
                _exit(0);
            }
            r = waitpid(fd, &status, 0);
            break;
        case 4:
            fd = socket(AF_UNIX, SOCK_STREAM, 0);
            bind(fd, (void *)&un, 2);
            listen(fd, 1);
            r = accept(fd, NULL, NULL);
            break;
        case 5:
            r = pause();
            break;
        case 6:
            fd = epoll_create1(0);
            r = epoll_wait(fd, &(struct epoll_event){0}, 1, 3000);
            break;
        }
        dprintf(p[1], " ");
        _exit(r == -1 ? errno : r < 0 ? 99 : 100 + (r > 0) + 10 * (count > 0));
    }
    wait_turn(result, 1);
    wait_asleep(pid);
    nap(20);
    kill(pid, SIGUSR1);
    nap(30);
    if (what == 0) {
        // Data that come with the signal would be read instead: first it must have ended the call, or been handled.
        siginfo_t ended = {0};
        for (int i = 0; i < 300 && !flags && !ended.si_pid; i++) {
            waitid(P_PID, pid, &ended, WEXITED | WNOWAIT | WNOHANG);
            nap(10);
        }
        if (flags)
            wait_asleep(pid);
        write(p[1], "y", 1);
    }
    int status = 0;
    if (what == 4 || (what == 5 && flags)) {
        nap(50);
        kill(pid, SIGKILL);
    }
    waitpid(pid, &status, 0);
    char drain[16];
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    while (read(p[0], drain, 16) > 0)
        ;
    fcntl(p[0], F_SETFL, 0);
    if (WIFSIGNALED(status))
        say("%s, %s: still waited", name, flags ? "restart" : "no restart");
    else
        say("%s, %s: %s", name, flags ? "restart" : "no restart",
            WEXITSTATUS(status) < 98 ? errname(WEXITSTATUS(status)) : WEXITSTATUS(status) == 111 ? "done after the handler" : "no event");
}
int main(void) {
    MUST(pipe(p));
    const char *names[] = {"read", "poll", "nanosleep", "wait", "accept", "pause", "epoll_wait"};
    for (int i = 0; i < 7; i++)
        for (int f = 0; f < 2; f++)
            try_it(names[i], i, f ? SA_RESTART : 0);
}

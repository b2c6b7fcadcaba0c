// The end of a session leader with a terminal sends SIGHUP to the foreground group.
#include "../case.h"
int main(void) {
    int m = MUST(posix_openpt(O_RDWR | O_NOCTTY)), p[2];
    grantpt(m), unlockpt(m);
    MUST(pipe(p));
    pid_t leader = MUST(fork());
    if (!leader) {
        setsid();
        int s = MUST(open(ptsname(m), O_RDWR));
        close(m);
        if (!fork()) {
            close(p[0]);
            mask(SIG_BLOCK, SIGHUP);
            write(p[1], "r", 1);
            sigset_t set;
            sigemptyset(&set), sigaddset(&set, SIGHUP);
            struct timespec limit = {5, 0};
            int sig = sigtimedwait(&set, NULL, &limit);
            char c = sig == SIGHUP ? 'h' : 'n';
            write(p[1], &c, 1);
            c = open("/dev/tty", O_RDWR) < 0 ? errno == ENXIO ? 'x' : '?' : 'o';
            write(p[1], &c, 1);
            _exit(0);
        }
        char c;
        read(p[0], &c, 1);
        _exit(0);
    }
    close(p[1]);
    reap("leader", leader);
    char text[8] = "";
    for (int n = 0, r; (r = read(p[0], text + n, 7 - n)) > 0; n += r)
        ;
    say("%s", text);
}

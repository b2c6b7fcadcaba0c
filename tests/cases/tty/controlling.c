// The controlling terminal: /dev/tty, acquiring, giving up, who hears of a window change.
#include "../case.h"
#include <termios.h>
static volatile sig_atomic_t winch;
static void handler(int sig) { winch++; }
int main(void) {
    int m = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    grantpt(m), unlockpt(m);
    char name[64];
    strcpy(name, ptsname(m));
    pid_t pid = MUST(fork());
    if (!pid) {
        setsid();
        NUM(open("/dev/tty", O_RDWR));
        int s = MUST(open(name, O_RDWR | O_NOCTTY));
        NUM(open("/dev/tty", O_RDWR));
        NUM(ioctl(s, TIOCSCTTY, 0));
        int t = TRY(open("/dev/tty", O_RDWR));
        IS(tcgetpgrp(t) == getpid());
        NUM(write(t, "via tty", 7));
        on(SIGWINCH, handler);
        struct winsize z = {30, 100};
        NUM(ioctl(s, TIOCSWINSZ, &z)), NUM(winch);
        NUM(ioctl(s, TIOCSWINSZ, &z)), NUM(winch);
        z.ws_row = 31;
        NUM(ioctl(m, TIOCSWINSZ, &z)), NUM(winch);
        char *stat = strrchr(get("/proc/self/stat"), ')');
        int pgrp, session, tty, foreground;
        sscanf(stat + 4, "%*d %d %d %d %d", &pgrp, &session, &tty, &foreground);
        IS(pgrp == getpid() && session == getpid() && foreground == getpid() && major(tty) == 136);
        pid_t other = fork();
        if (!other) {
            NUM(ioctl(s, TIOCNOTTY, 0));
            NUM(open("/dev/tty", O_RDWR));
            setsid();
            NUM(ioctl(s, TIOCSCTTY, 0));
            _exit(0);
        }
        reap("other", other);
        signal(SIGHUP, SIG_IGN);
        NUM(ioctl(s, TIOCNOTTY, 0)), NUM(open("/dev/tty", O_RDWR));
        _exit(0);
    }
    reap("session", pid);
}

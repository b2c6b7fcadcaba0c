// A process that leads no session can open and close terminals: none becomes its controlling terminal, so that its
// hanging up ends nobody.
#include "../case.h"
#include <termios.h>
int main(void) {
    // Where the case is started as a leader, its child is none.
    if (getsid(0) == getpid()) {
        pid_t pid = MUST(fork());
        if (pid) {
            int status;
            MUST(waitpid(pid, &status, 0));
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
    }
    IS(getsid(0) == getpid());
    int master = MUST(posix_openpt(O_RDWR));
    NUM(grantpt(master)), NUM(unlockpt(master));
    int slave = MUST(open(ptsname(master), O_RDWR));
    IS(isatty(slave));
    NUM(tcgetsid(slave) == -1 ? errno : 0);
    NUM(ioctl(slave, TIOCSCTTY, 0));
    TRY(open("/dev/tty", O_RDWR));
    close(master);
    char c;
    NUM(read(slave, &c, 1));
    close(slave);
    // One that makes itself the leader of a session gets the next one.
    pid_t pid = MUST(fork());
    if (!pid) {
        IS(setsid() == getpid());
        master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
        grantpt(master), unlockpt(master);
        MUST(open(ptsname(master), O_RDWR));
        TRY(open("/dev/tty", O_RDWR));
        on(SIGHUP, SIG_DFL);
        close(master);
        nap(2000);
        _exit(0);
    }
    reap("leader", pid);
}

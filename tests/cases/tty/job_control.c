// A session on a terminal: foreground group, SIGINT, SIGQUIT and SIGTSTP by key, SIGTTIN and SIGTTOU.
#include "../case.h"
#include <termios.h>
static int m, s;
int main(void) {
    m = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    grantpt(m), unlockpt(m);
    struct turns *t = new_turns();
    char name[64];
    strcpy(name, ptsname(m));
    pid_t leader = MUST(fork());
    if (!leader) {
        setsid();
        close(m);
        s = MUST(open(name, O_RDWR));
        IS(tcgetsid(s) == getpid() && tcgetpgrp(s) == getpgrp());
        signal(SIGTTOU, SIG_IGN);
        int keys[] = {3, 28, 26};
        for (int i = 0; i < 3; i++) {
            pid_t job = MUST(fork());
            if (!job) {
                setpgid(0, 0);
                tcsetpgrp(s, getpid());
                pass_turn(t);
                for (;;)
                    pause();
            }
            wait_turn(t, 2 * i + 1);
            IS(tcgetpgrp(s) == job);
            pass_turn(t);
            int status;
            waitpid(job, &status, WUNTRACED);
            if (WIFSIGNALED(status))
                status &= 0x7f;
            say_status(keys[i] == 3 ? "intr" : keys[i] == 28 ? "quit" : "susp", status);
            kill(job, SIGKILL);
            waitpid(job, &status, 0);
            NUM(tcsetpgrp(s, getpgrp()));
        }
        // Background jobs.
        for (int i = 0; i < 4; i++) {
            pid_t job = MUST(fork());
            if (!job) {
                setpgid(0, 0);
                char c;
                if (i == 1)
                    signal(SIGTTIN, SIG_IGN);
                signal(SIGTTOU, SIG_DFL);
                if (i == 2) {
                    struct termios v;
                    tcgetattr(s, &v);
                    v.c_lflag |= TOSTOP;
                    signal(SIGTTOU, SIG_IGN);
                    tcsetattr(s, TCSANOW, &v);
                    signal(SIGTTOU, SIG_DFL);
                }
                errno = 0;
                long r = i < 2 ? read(s, &c, 1) : i == 2 ? write(s, "x", 1) : tcsetpgrp(s, getpid());
                _exit(r < 0 ? errno : 0);
            }
            int status;
            waitpid(job, &status, WUNTRACED);
            say_status(i < 2 ? "background read" : i == 2 ? "background write" : "background tcsetpgrp", status);
            kill(job, SIGKILL);
            waitpid(job, &status, 0);
        }
        pass_turn(t);
        pause();
        _exit(0);
    }
    char keys[] = {3, 28, 26};
    for (int i = 0; i < 3; i++) {
        wait_turn(t, 2 * i + 2);
        nap(20);
        write(m, &keys[i], 1);
    }
    wait_turn(t, 7);
    close(m);
    reap("leader after hang-up", leader);
}

// Children that ignore every signal, in sessions of their own, orphaned twice, some asleep and some spinning.
#include "hostile.h"
int main(int argc, char **argv) {
    ignore_all();
    // A parent that ignores SIGCHLD waits until it has no child left.
    signal(SIGCHLD, SIG_DFL);
    for (int i = 0; i < 6; i++)
        if (!fork()) {
            setsid();
            if (fork())
                _exit(0);
            setpgid(0, 0);
            prctl(PR_SET_PDEATHSIG, 0);
            for (;;)
                if (i % 2)
                    pause();
        }
    // Not until there are none: the orphans become children of this process.
    for (int i = 0; i < 6; i++)
        wait(NULL);
    ready(argv);
}

// A process whose parent ends gets another; a subreaper takes its descendants' orphans and waits for them.
#include "../case.h"
#include <sys/prctl.h>
int main(void) {
    int p[2];
    MUST(pipe(p));
    int reaper = -1;
    NUM(prctl(PR_GET_CHILD_SUBREAPER, &reaper));
    NUM(reaper);
    NUM(prctl(PR_SET_CHILD_SUBREAPER, 1));
    NUM(prctl(PR_GET_CHILD_SUBREAPER, &reaper));
    NUM(reaper);
    pid_t me = getpid(), pid = MUST(fork());
    if (!pid) {
        pid_t middle = getpid();
        prctl(PR_GET_CHILD_SUBREAPER, &reaper);
        if (!fork()) {
            while (getppid() == middle)
                nap(1);
            char good = getppid() == me ? 'y' : 'n';
            write(p[1], &good, 1);
            _exit(44);
        }
        _exit(reaper);
    }
    reap("middle", pid);
    char c = 0;
    read(p[0], &c, 1);
    say("%c", c);
    int status;
    IS(waitpid(-1, &status, 0) > 0);
    say_status("orphan", status);
    NUM(waitpid(-1, &status, 0));
}

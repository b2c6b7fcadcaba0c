// PR_SET_PDEATHSIG: the child gets its signal when the parent ends, and fork clears it.
#include "../case.h"
#include <sys/prctl.h>
int main(void) {
    int p[2], sig = -1;
    MUST(pipe(p));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = MUST(fork());
    if (!pid) {
        if (!fork()) {
            mask(SIG_BLOCK, SIGUSR1);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            write(p[1], "r", 1);
            sigset_t set;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            int got = sigwaitinfo(&set, NULL);
            _exit(got == SIGUSR1 ? 1 : 2);
        }
        char c;
        read(p[0], &c, 1);
        _exit(0);
    }
    reap("parent", pid);
    reap("child", -1);
    NUM(prctl(PR_SET_PDEATHSIG, SIGHUP));
    NUM(prctl(PR_GET_PDEATHSIG, &sig));
    NUM(sig);
    NUM(prctl(PR_SET_PDEATHSIG, 70));
    pid = MUST(fork());
    if (!pid) {
        prctl(PR_GET_PDEATHSIG, &sig);
        _exit(sig);
    }
    reap("child's signal", pid);
}

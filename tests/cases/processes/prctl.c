// The prctl options that programs use.
#include "../case.h"
#include <sys/prctl.h>
int main(void) {
    NUM(prctl(PR_GET_DUMPABLE));
    NUM(prctl(PR_SET_DUMPABLE, 0));
    NUM(prctl(PR_GET_DUMPABLE));
    NUM(prctl(PR_SET_DUMPABLE, 2));
    NUM(prctl(PR_SET_DUMPABLE, 1));
    NUM(prctl(PR_GET_KEEPCAPS));
    NUM(prctl(PR_SET_KEEPCAPS, 1));
    NUM(prctl(PR_GET_KEEPCAPS));
    NUM(prctl(PR_SET_KEEPCAPS, 2));
    NUM(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    NUM(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    NUM(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    NUM(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    NUM(prctl(PR_SET_TIMERSLACK, 60000));
    NUM(prctl(PR_GET_TIMERSLACK));
    NUM(prctl(PR_SET_TIMERSLACK, 0));
    NUM(prctl(PR_GET_TIMING));
    NUM(prctl(PR_CAPBSET_READ, 99));
    NUM(prctl(99999));
    NUM(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    NUM(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) + 2 * (prctl(PR_GET_TIMERSLACK) == 50000));
    reap("child", pid);
}

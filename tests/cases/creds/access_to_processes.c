// Who may signal, trace or inspect whom, by ids.
#include "../case.h"
int main(void) {
    pid_t target = MUST(fork());
    if (!target) {
        if (setresuid(500, 500, 500))
            _exit(9);
        for (;;)
            pause();
    }
    nap(20);
    for (int uid = 500; uid <= 600; uid += 100) {
        pid_t pid = MUST(fork());
        if (!pid) {
            if (setresuid(uid, uid, uid))
                _exit(9);
            char path[64];
            NUM(kill(target, 0));
            NUM(setpriority(PRIO_PROCESS, target, 7));
            NUM(getpriority(PRIO_PROCESS, target) >= 0);
            sprintf(path, "/proc/%d/status", target);
            NUM(access(path, R_OK));
            sprintf(path, "/proc/%d/environ", target);
            struct rlimit l;
            NUM(prlimit(target, RLIMIT_NOFILE, NULL, &l));
            IS(getsid(target) == getsid(0));
            _exit(0);
        }
        reap(uid == 500 ? "same user" : "other user", pid);
    }
    kill(target, SIGKILL);
    reap("target", target);
}

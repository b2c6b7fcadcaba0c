// A zombie: state, name, empty command line and descriptors in /proc; it takes signals and waits to be reaped.
#include "../case.h"
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(3);
    siginfo_t info;
    MUST(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    say("state %c", state_of(pid));
    NUM(kill(pid, 0));
    NUM(kill(pid, SIGKILL));
    char path[64];
    sprintf(path, "/proc/%d/cmdline", pid);
    NUM(strlen(get(path)));
    sprintf(path, "/proc/%d/exe", pid);
    char target[64];
    NUM(readlink(path, target, 64));
    sprintf(path, "/proc/%d/maps", pid);
    NUM(strlen(get(path)));
    sprintf(path, "/proc/%d/status", pid);
    IS(strstr(get(path), "State:\tZ (zombie)") != NULL);
    IS(strstr(get(path), "VmSize") == NULL);
    NUM(setpgid(pid, pid));
    reap("zombie", pid);
    NUM(access(path, F_OK));
    NUM(kill(pid, 0));
}

// What each signal does by default.
#include "../case.h"
int main(void) {
    for (int sig = 1; sig <= 31; sig++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            setpgid(0, 0);
            kill(getpid(), sig);
            _exit(50);
        }
        int status;
        waitpid(pid, &status, WUNTRACED);
        say_status(sigabbrev_np(sig) ? sigabbrev_np(sig) : "none", status);
        if (WIFSTOPPED(status)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
    }
    for (int sig = 32; sig <= 64; sig += 8) {
        pid_t pid = MUST(fork());
        if (!pid) {
            kill(getpid(), sig);
            _exit(50);
        }
        int status;
        waitpid(pid, &status, 0);
        NUM(WIFSIGNALED(status) && WTERMSIG(status) == sig);
    }
}

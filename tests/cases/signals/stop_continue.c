// SIGCONT drops pending stops and a stop drops a pending SIGCONT; a handled SIGTSTP does not stop.
#include "../case.h"
static volatile sig_atomic_t got;
static void handler(int sig) { got = sig; }
int main(void) {
    sigset_t set;
    mask(SIG_BLOCK, SIGTSTP);
    mask(SIG_BLOCK, SIGCONT);
    raise(SIGTSTP);
    sigpending(&set);
    NUM(sigismember(&set, SIGTSTP));
    raise(SIGCONT);
    sigpending(&set);
    NUM(sigismember(&set, SIGTSTP) + 2 * sigismember(&set, SIGCONT));
    on(SIGCONT, handler);
    raise(SIGCONT);
    sigpending(&set);
    NUM(sigismember(&set, SIGTSTP) + 2 * sigismember(&set, SIGCONT));
    raise(SIGTSTP);
    sigpending(&set);
    NUM(sigismember(&set, SIGTSTP) + 2 * sigismember(&set, SIGCONT));
    on(SIGTSTP, handler);
    mask(SIG_UNBLOCK, SIGTSTP);
    NUM(got == SIGTSTP);
    // A blocked SIGCONT continues a stopped process all the same.
    pid_t pid = MUST(fork());
    if (!pid) {
        raise(SIGSTOP);
        sigpending(&set);
        _exit(sigismember(&set, SIGCONT));
    }
    int status;
    waitpid(pid, &status, WUNTRACED);
    say_status("child", status);
    kill(pid, SIGTERM);
    nap(20);
    NUM(waitpid(pid, &status, WNOHANG));
    kill(pid, SIGCONT);
    reap("child", pid);
}

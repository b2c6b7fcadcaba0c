// The ways in which a child ends, stops and goes on, as wait shows them.
#include "../case.h"
int main(void) {
    for (int i = 0; i < 3; i++) {
        pid_t pid = MUST(fork());
        if (!pid)
            exit(i == 0 ? 0 : i == 1 ? 255 : 256 + 77);
        reap("exit", pid);
    }
    int signals[] = {SIGTERM, SIGKILL, SIGABRT, SIGSEGV, SIGRTMIN + 3, SIGALRM, SIGPIPE};
    for (int i = 0; i < 7; i++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            raise(signals[i]);
            exit(1);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        say("signal %d of %d", WIFSIGNALED(status) ? WTERMSIG(status) : -1, signals[i]);
    }
    // A stop that comes before anybody waited for the continuation replaces it, so the child stops again when told.
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        setpgid(0, 0);
        raise(SIGSTOP);
        char c;
        MUST(read(p[0], &c, 1));
        raise(SIGTSTP);
        _exit(5);
    }
    int status;
    IS(waitpid(pid, &status, WUNTRACED) == pid);
    say_status("child", status);
    NUM(waitpid(pid, &status, WNOHANG | WUNTRACED));
    kill(pid, SIGCONT);
    IS(waitpid(pid, &status, WCONTINUED) == pid);
    say_status("child", status);
    MUST(write(p[1], "x", 1));
    IS(waitpid(pid, &status, WUNTRACED) == pid);
    say_status("child", status);
    kill(pid, SIGKILL);
    reap("child", pid);
    NUM(waitpid(pid, &status, 0));
    NUM(waitpid(-1, &status, WNOHANG));
    NUM(waitpid(-1, &status, 0x1000));
}

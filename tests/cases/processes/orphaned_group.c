// A stopped group that becomes orphaned gets SIGHUP and SIGCONT.
#include "../case.h"
#include <sys/prctl.h>
static volatile sig_atomic_t order, hup, cont;
static void handler(int sig) {
    if (sig == SIGHUP)
        hup = ++order;
    else
        cont = ++order;
}
int main(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int p[2];
    MUST(pipe(p));
    pid_t pid = MUST(fork());
    if (!pid) {
        setsid();
        pid_t child = fork();
        if (!child) {
            setpgid(0, 0);
            on(SIGHUP, handler);
            on(SIGCONT, handler);
            raise(SIGSTOP);
            for (int i = 0; i < 1000 && !(hup && cont); i++)
                nap(1);
            char text[32];
            int n = sprintf(text, "hup %d cont %d", !!hup, !!cont);
            write(p[1], text, n);
            _exit(0);
        }
        int status;
        waitpid(child, &status, WUNTRACED);
        say_status("child", status);
        _exit(0);
    }
    reap("leader", pid);
    char text[64] = "";
    read(p[0], text, 63);
    say("%s", text);
    reap("child", -1);
}

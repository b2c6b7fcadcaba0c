// kill of a group, of 0 and of -1 reaches the right ones; permission by uid.
#include "../case.h"
static volatile sig_atomic_t got;
static void handler(int sig) { got++; }
int main(void) {
    setpgid(0, 0);
    on(SIGUSR1, handler);
    pid_t a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = MUST(fork());
        if (!a[i]) {
            if (i == 2)
                setpgid(0, 0);
            signal(SIGUSR1, SIG_DFL);
            for (;;)
                pause();
        }
    }
    setpgid(a[2], a[2]);
    for (int i = 0; i < 3; i++)
        wait_asleep(a[i]);
    NUM(kill(0, SIGUSR1));
    NUM(got);
    int status;
    reap("in the group", a[0]);
    reap("in the group", a[1]);
    NUM(waitpid(a[2], &status, WNOHANG));
    NUM(killpg(a[2], SIGUSR1));
    reap("in its own group", a[2]);
    pid_t target = MUST(fork());
    if (!target)
        for (;;)
            pause();
    pid_t other = MUST(fork());
    if (!other) {
        if (setuid(1234))
            _exit(9);
        NUM(kill(target, SIGTERM));
        NUM(kill(target, 0));
        NUM(kill(target, SIGCONT));
        NUM(kill(-1, 0));
        _exit(0);
    }
    reap("other user", other);
    kill(target, SIGKILL);
    reap("target", target);
}

// sigtimedwait takes a pending signal without a handler, times out, and is interrupted by others.
#include "../case.h"
static void handler(int sig) {}
int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    siginfo_t info;
    struct timespec none = {0, 0}, some = {0, 30000000}, bad = {0, -1};
    NUM(sigtimedwait(&set, &info, &none));
    union sigval v = {.sival_int = 77};
    sigqueue(getpid(), SIGRTMIN, v);
    kill(getpid(), SIGUSR1);
    IS(sigwaitinfo(&set, &info) == SIGUSR1);
    say("code %d", info.si_code);
    IS(sigtimedwait(&set, &info, &some) == SIGRTMIN);
    say("code %d value %d", info.si_code, info.si_value.sival_int);
    int64_t start = now_ms();
    NUM(sigtimedwait(&set, &info, &some));
    IS(now_ms() - start >= 29);
    NUM(sigtimedwait(&set, &info, &bad));
    NUM(syscall(SYS_rt_sigtimedwait, &set, &info, &some, 4));
    on(SIGUSR2, handler);
    pid_t me = getpid(), pid = MUST(fork());
    if (!pid) {
        wait_asleep(me);
        kill(me, SIGUSR2);
        nap(20);
        wait_asleep(me);
        kill(me, SIGUSR1);
        _exit(0);
    }
    NUM(sigwaitinfo(&set, &info));
    int sig = 0;
    ERR(sigwait(&set, &sig));
    IS(sig == SIGUSR1);
    reap("child", pid);
}

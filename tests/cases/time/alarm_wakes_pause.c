// Alarms across exec; a timer's signal reaches a process in any blocked call once.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        on(SIGALRM, (void (*)(int))_exit);
        NUM(alarm(0) > 0);
        alarm(0);
        ualarm(20000, 0);
        pause();
        return 1;
    }
    pid_t pid = MUST(fork());
    if (!pid) {
        alarm(50);
        execl("/proc/self/exe", "x", "after", NULL);
        _exit(9);
    }
    reap("after exec", pid);
    pid = MUST(fork());
    if (!pid) {
        ualarm(20000, 0);
        for (;;)
            ;
    }
    reap("spinning", pid);
    pid = MUST(fork());
    if (!pid) {
        ualarm(20000, 0);
        pause();
    }
    reap("pausing", pid);
}

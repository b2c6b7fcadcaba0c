// Every resource limit can be read; raising beyond the hard one is refused; values are inherited.
#include "../case.h"
int main(void) {
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit l;
        say("%d: %s", i, getrlimit(i, &l) ? errname(errno) : l.rlim_cur <= l.rlim_max ? "ok" : "soft above hard");
    }
    struct rlimit l = {1000, 2000}, got;
    NUM(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0})), NUM(setrlimit(RLIMIT_STACK, &(struct rlimit){4 << 20, 8 << 20}));
    pid_t pid = MUST(fork());
    if (!pid) {
        getrlimit(RLIMIT_STACK, &got);
        _exit(got.rlim_cur == 4 << 20 && got.rlim_max == 8 << 20);
    }
    reap("child", pid);
    NUM(setrlimit(RLIMIT_NOFILE, &l));
    if (setuid(1000))
        return 9;
    l.rlim_max = 3000;
    NUM(setrlimit(RLIMIT_NOFILE, &l));
    l.rlim_max = 2000, l.rlim_cur = 2000;
    NUM(setrlimit(RLIMIT_NOFILE, &l));
    l.rlim_cur = 2001;
    NUM(setrlimit(RLIMIT_NOFILE, &l));
    NUM(prlimit(0, RLIMIT_CPU, NULL, &got)), NUM(prlimit(0, RLIMIT_CPU, NULL, (void *)8)), NUM(prlimit(0, 99, NULL, &got));
}

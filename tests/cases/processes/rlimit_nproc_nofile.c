// RLIMIT_NOFILE bounds descriptors at once; a limit may fall and not rise again for the unprivileged.
#include "../case.h"
int main(void) {
    struct rlimit limit;
    NUM(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 20;
    NUM(setrlimit(RLIMIT_NOFILE, &limit));
    int fd, n = 0, last = 0;
    while ((fd = dup(1)) >= 0)
        n++, last = fd;
    say("%s, last %d", errname(errno), last);
    NUM(dup2(1, 20));
    NUM(dup2(1, 19));
    NUM(fcntl(1, F_DUPFD, 20));
    NUM(fcntl(1, F_DUPFD, 10));
    NUM(open("/dev/null", O_RDONLY));
    int p[2];
    NUM(pipe(p));
    limit.rlim_cur = limit.rlim_max + 1;
    NUM(setrlimit(RLIMIT_NOFILE, &limit));
    NUM(getrlimit(99, &limit));
    struct rlimit old;
    limit.rlim_cur = 30;
    NUM(prlimit(0, RLIMIT_NOFILE, &limit, &old));
    NUM(old.rlim_cur);
    NUM(prlimit(getpid(), RLIMIT_NOFILE, NULL, &old));
    NUM(old.rlim_cur);
    NUM(prlimit(0x3fffffff, RLIMIT_NOFILE, NULL, &old));
}

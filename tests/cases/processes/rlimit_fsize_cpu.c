// RLIMIT_FSIZE: a short write up to it, then SIGXFSZ and EFBIG; RLIMIT_CPU: SIGXCPU.
#include "../case.h"
static volatile sig_atomic_t got;
static void handler(int sig) { got = sig; }
int main(void) {
    scratch();
    struct rlimit limit = {1000, 2000};
    MUST(setrlimit(RLIMIT_FSIZE, &limit));
    on(SIGXFSZ, handler);
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    char data[600] = "";
    NUM(write(fd, data, 600));
    NUM(write(fd, data, 600));
    NUM(got);
    NUM(write(fd, data, 600));
    NUM(got == SIGXFSZ);
    got = 0;
    NUM(ftruncate(fd, 1001));
    NUM(got == SIGXFSZ);
    NUM(ftruncate(fd, 1000));
    pid_t pid = MUST(fork());
    if (!pid) {
        signal(SIGXFSZ, SIG_DFL);
        write(fd, data, 600);
        _exit(0);
    }
    reap("writer", pid);
    pid = MUST(fork());
    if (!pid) {
        struct rlimit cpu = {1, 2};
        setrlimit(RLIMIT_CPU, &cpu);
        for (;;)
            ;
    }
    reap("burner", pid);
}

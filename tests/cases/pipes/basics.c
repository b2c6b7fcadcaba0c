// Pipe ends: data in order, end of file, EPIPE with and without the signal, wrong directions.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe(p));
    NUM(write(p[1], "abc", 3)), NUM(write(p[1], "def", 3));
    char b[16] = "";
    NUM(read(p[0], b, 4));
    say("%s", b);
    NUM(read(p[0], b, 16));
    NUM(write(p[0], "x", 1)), NUM(read(p[1], b, 1));
    NUM(write(p[1], "", 0));
    int n = -1;
    write(p[1], "12345", 5);
    NUM(ioctl(p[0], FIONREAD, &n));
    NUM(n);
    close(p[1]);
    NUM(read(p[0], b, 16)), NUM(read(p[0], b, 16));
    MUST(pipe(p));
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    NUM(write(p[1], "x", 1));
    pid_t pid = MUST(fork());
    if (!pid) {
        signal(SIGPIPE, SIG_DFL);
        write(p[1], "x", 1);
        _exit(0);
    }
    reap("writer", pid);
    NUM(pipe2(p, 0x1000000));
    NUM(pipe2(p, O_CLOEXEC | O_NONBLOCK));
    NUM(fcntl(p[0], F_GETFD));
    IS((fcntl(p[0], F_GETFL) & O_NONBLOCK) && (fcntl(p[1], F_GETFL) & O_ACCMODE) == O_WRONLY);
}

// A pipe takes 64 KiB and then blocks; F_SETPIPE_SZ rounds, grows, shrinks and refuses.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe2(p, O_NONBLOCK));
    NUM(fcntl(p[1], F_GETPIPE_SZ));
    static char data[1 << 20];
    NUM(write(p[1], data, 100000));
    NUM(write(p[1], data, 1));
    NUM(read(p[0], data, 4096));
    NUM(write(p[1], data, 4096));
    NUM(write(p[1], data, 1));
    NUM(fcntl(p[1], F_SETPIPE_SZ, 4096));
    NUM(fcntl(p[0], F_SETPIPE_SZ, 200000));
    NUM(fcntl(p[1], F_GETPIPE_SZ));
    NUM(write(p[1], data, 1 << 20));
    while (read(p[0], data, sizeof data) > 0)
        ;
    NUM(fcntl(p[0], F_SETPIPE_SZ, 1));
    NUM(write(p[1], data, 10000));
    NUM(fcntl(p[0], F_SETPIPE_SZ, -1));
    NUM(fcntl(0, F_GETPIPE_SZ));
    NUM(atoi(get("/proc/sys/fs/pipe-max-size")));
}

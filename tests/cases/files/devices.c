// /dev/null, zero, full, random, urandom: what they read and take.
#include "../case.h"
int main(void) {
    char b[64];
    int null = MUST(open("/dev/null", O_RDWR)), zero = MUST(open("/dev/zero", O_RDWR)), full = MUST(open("/dev/full", O_RDWR)),
        random = MUST(open("/dev/urandom", O_RDWR));
    NUM(read(null, b, 64)), NUM(write(null, b, 64));
    memset(b, 1, 64);
    NUM(read(zero, b, 64)), NUM(b[0] + b[63]), NUM(write(zero, b, 64));
    memset(b, 1, 64);
    NUM(read(full, b, 64)), NUM(b[0] + b[63]), NUM(write(full, b, 64)), NUM(write(full, b, 0));
    char r1[32], r2[32];
    NUM(read(random, r1, 32)), NUM(read(random, r2, 32));
    IS(memcmp(r1, r2, 32));
    NUM(write(random, b, 4) == 4);
    struct pollfd w[3] = {{null, POLLIN | POLLOUT}, {zero, POLLIN | POLLOUT}, {random, POLLIN}};
    NUM(poll(w, 3, 0));
    say("%d %d %d", w[0].revents, w[1].revents, w[2].revents);
    struct stat s;
    const char *names[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"};
    for (int i = 0; i < 7; i++)
        if (!stat(names[i], &s))
            say("%s %o %d:%d", names[i], s.st_mode & S_IFMT, major(s.st_rdev), minor(s.st_rdev));
        else
            say("%s %s", names[i], errname(errno));
    char target[64] = "";
    NUM(readlink("/dev/fd", target, 64));
    NUM(readlink("/dev/stdin", target, 64));
    say("%s", target);
    NUM(ioctl(null, TCGETS, b));
    NUM(open("/dev/tty", O_RDWR) < 0);
}

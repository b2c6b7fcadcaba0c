// lseek: all whences, beyond the end, negative, on things that cannot seek; offsets are shared by dup and fork.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "0123456789");
    int fd = MUST(open("f", O_RDWR));
    NUM(lseek(fd, 3, SEEK_SET)), NUM(lseek(fd, 2, SEEK_CUR)), NUM(lseek(fd, -1, SEEK_END));
    NUM(lseek(fd, -1, SEEK_SET)), NUM(lseek(fd, -100, SEEK_CUR)), NUM(lseek(fd, 0, 99));
    NUM(lseek(fd, 0, SEEK_CUR));
    NUM(lseek(fd, 100, SEEK_END));
    char c;
    NUM(read(fd, &c, 1));
    NUM(write(fd, "z", 1));
    NUM(lseek(fd, 0, SEEK_END));
    int two = dup(fd), other = MUST(open("f", O_RDONLY));
    NUM(lseek(two, 5, SEEK_SET));
    NUM(lseek(fd, 0, SEEK_CUR));
    NUM(lseek(other, 0, SEEK_CUR));
    pid_t pid = MUST(fork());
    if (!pid) {
        lseek(fd, 7, SEEK_SET);
        _exit(0);
    }
    reap("child", pid);
    NUM(lseek(fd, 0, SEEK_CUR));
    int p[2];
    MUST(pipe(p));
    NUM(lseek(p[0], 0, SEEK_CUR));
    NUM(lseek(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), 0, SEEK_CUR));
    NUM(lseek(MUST(open("/dev/null", O_RDWR)), 5, SEEK_SET));
    NUM(lseek(900, 0, SEEK_CUR));
    NUM(lseek(fd, LONG_MAX, SEEK_SET) == LONG_MAX);
    NUM(lseek(fd, LONG_MAX, SEEK_CUR));
}

// dup, dup2, dup3 and F_DUPFD: lowest number, flags, close-on-exec, errors.
#include "../case.h"
int main(void) {
    int fd = MUST(open("/dev/null", O_RDONLY));
    IS(dup(fd) == fd + 1);
    close(fd);
    IS(dup(1) == fd);
    NUM(dup2(1, 20));
    NUM(dup2(20, 20));
    NUM(dup3(20, 20, 0));
    NUM(dup3(1, 21, O_CLOEXEC));
    NUM(fcntl(21, F_GETFD));
    NUM(dup2(21, 22));
    NUM(fcntl(22, F_GETFD));
    NUM(fcntl(1, F_DUPFD, 20));
    NUM(fcntl(1, F_DUPFD_CLOEXEC, 20));
    NUM(fcntl(24, F_GETFD));
    NUM(fcntl(24, F_SETFD, 0));
    NUM(fcntl(24, F_GETFD));
    NUM(dup(900)), NUM(dup2(900, 5)), NUM(dup2(1, -1)), NUM(dup2(900, 900)), NUM(dup3(1, 30, O_APPEND));
    NUM(fcntl(1, F_DUPFD, -1));
    NUM(fcntl(900, F_GETFD));
    NUM(fcntl(1, 9999));
    NUM(close(900)), NUM(close(24)), NUM(close(24));
    int p[2];
    MUST(pipe2(p, O_NONBLOCK));
    int q = dup(p[0]);
    fcntl(q, F_SETFL, 0);
    NUM(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    char c;
    close(p[1]);
    NUM(read(q, &c, 1));
}

// fcntl: status flags that change and those that do not, leases, owner, hints, pipe and seal calls on files.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "x");
    int fd = MUST(open("f", O_RDWR));
    NUM(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_CREAT | O_RDONLY));
    say("%o", fcntl(fd, F_GETFL) & ~0100000);
    NUM(fcntl(fd, F_SETFL, 0));
    say("%o", fcntl(fd, F_GETFL) & ~0100000);
    NUM(fcntl(fd, F_GETOWN)), NUM(fcntl(fd, F_SETOWN, 0x3fffffff)), NUM(fcntl(fd, F_GETSIG)), NUM(fcntl(fd, F_SETSIG, 65));
    NUM(fcntl(fd, F_GETPIPE_SZ)), NUM(fcntl(fd, F_GET_SEALS) >= -1 ? 0 : 1);
    NUM(fcntl(fd, F_GETLEASE));
    int ro = MUST(open("f", O_RDONLY));
    close(fd);
    NUM(fcntl(ro, F_SETLEASE, F_RDLCK)), NUM(fcntl(ro, F_GETLEASE)), NUM(fcntl(ro, F_SETLEASE, F_UNLCK)), NUM(fcntl(ro, F_GETLEASE));
    int path = MUST(open("f", O_PATH));
    NUM(fcntl(path, F_SETFL, 0)), NUM(fcntl(path, F_GETFD)), NUM(fcntl(path, F_DUPFD, 50)), NUM(fcntl(path, F_SETFD, 1));
}

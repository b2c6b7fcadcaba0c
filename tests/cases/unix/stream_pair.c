// A stream pair: both directions, peek, partial reads, shutdown, end, names.
#include "../case.h"
int main(void) {
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    NUM(send(s[0], "hello", 5, 0)), NUM(write(s[1], "back", 4));
    char b[32] = "";
    NUM(recv(s[1], b, 3, MSG_PEEK));
    NUM(recv(s[1], b, 32, 0));
    say("%s", b);
    NUM(recv(s[1], b, 32, MSG_DONTWAIT));
    NUM(read(s[0], b, 2)), NUM(read(s[0], b, 32));
    NUM(send(s[0], "abcdef", 6, 0));
    int n = 0;
    NUM(ioctl(s[1], FIONREAD, &n));
    NUM(n);
    NUM(recv(s[1], b, 10, MSG_WAITALL | MSG_DONTWAIT));
    struct sockaddr_un un;
    socklen_t len = sizeof un;
    NUM(getsockname(s[0], (void *)&un, &len));
    say("%d %d", (int)len, un.sun_family);
    len = sizeof un;
    NUM(getpeername(s[0], (void *)&un, &len));
    NUM(shutdown(s[0], SHUT_WR));
    signal(SIGPIPE, SIG_IGN);
    NUM(write(s[0], "x", 1)), NUM(read(s[1], b, 1));
    NUM(write(s[1], "still", 5)), NUM(read(s[0], b, 32));
    NUM(shutdown(s[0], SHUT_RD)), NUM(read(s[0], b, 1)), NUM(write(s[1], "x", 1));
    NUM(shutdown(s[0], 7)), NUM(shutdown(0, SHUT_RD));
    close(s[1]);
    NUM(read(s[0], b, 1)), NUM(send(s[0], "x", 1, MSG_NOSIGNAL));
    NUM(socketpair(AF_UNIX, 99, 0, s)), NUM(socketpair(AF_INET, SOCK_STREAM, 0, s)), NUM(socketpair(AF_UNIX, SOCK_STREAM, 5, s));
}

// poll on listeners, connected, half-closed and closed stream sockets.
#include "../case.h"
static void show(const char *what, int fd) {
    struct pollfd w = {fd, POLLIN | POLLOUT | POLLRDHUP};
    poll(&w, 1, 0);
    say("%s: %#x", what, w.revents);
}
int main(void) {
    scratch();
    struct sockaddr_un un = {AF_UNIX, "s"};
    int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    show("new", c);
    MUST(bind(l, (void *)&un, sizeof un)), MUST(listen(l, 1));
    show("listener", l);
    MUST(connect(c, (void *)&un, sizeof un));
    show("listener with one", l), show("client", c);
    int a = MUST(accept(l, NULL, NULL));
    show("listener", l), show("server", a);
    write(c, "x", 1);
    show("data", a);
    shutdown(c, SHUT_WR);
    show("half closed, data", a), show("shut for writing", c);
    char b;
    read(a, &b, 1);
    show("half closed", a);
    close(c);
    show("closed", a);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0}) + 1);
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    static char data[100000];
    while (write(s[0], data, sizeof data) > 0)
        ;
    show("full", s[0]);
    while (read(s[1], data, sizeof data) > 0)
        ;
    show("drained", s[0]);
    write(s[1], "unread", 6);
    close(s[0]);
    read(s[1], data, 1);
    say("%s", errname(errno));
    show("peer closed with unread data", s[1]);
}

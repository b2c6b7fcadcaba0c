// Non-blocking TCP: would-block on every call, poll events, a full window that drains.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
static int events(int fd) {
    struct pollfd w = {fd, POLLIN | POLLOUT | POLLRDHUP};
    poll(&w, 1, 200);
    return w.revents;
}
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    NUM(accept(l, NULL, NULL));
    int c = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    say("new: %#x", events(c));
    int r = connect(c, (void *)&a, sizeof a);
    IS(r == 0 || errno == EINPROGRESS);
    struct pollfd w = {c, POLLOUT};
    NUM(poll(&w, 1, 1000));
    NUM(connect(c, (void *)&a, sizeof a) == 0 || errno == EISCONN);
    w = (struct pollfd){l, POLLIN};
    NUM(poll(&w, 1, 1000));
    int s = MUST(accept4(l, NULL, NULL, SOCK_NONBLOCK));
    char b[16];
    NUM(read(s, b, 16)), NUM(recv(c, b, 16, MSG_PEEK));
    say("connected: %#x", events(s));
    static char data[1 << 20];
    long sent = 0, n;
    for (int i = 0; i < 100 && (sent < 100 << 20); i++) {
        while ((n = write(c, data, sizeof data)) > 0)
            sent += n;
        nap(1);
    }
    NUM(write(c, data, 1));
    IS(sent > 65536 && sent < 64 << 20);
    struct pollfd out = {c, POLLOUT};
    NUM(poll(&out, 1, 0));
    long got = 0;
    fcntl(s, F_SETFL, 0);
    while (got < sent && (n = read(s, data, sizeof data)) > 0)
        got += n;
    IS(got == sent);
    NUM(poll(&out, 1, 1000));
    shutdown(c, SHUT_WR);
    w = (struct pollfd){s, POLLRDHUP};
    poll(&w, 1, 1000);
    say("half closed: %#x", events(s));
    close(s);
    w = (struct pollfd){c, POLLHUP};
    poll(&w, 1, 1000);
    say("closed: %#x", events(c));
}

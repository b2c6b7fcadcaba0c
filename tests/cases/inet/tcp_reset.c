// SO_LINGER with zero time resets: the other side sees ECONNRESET, once, then the end.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    int c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c, (void *)&a, sizeof a));
    int s = MUST(accept(l, NULL, NULL));
    struct linger now = {1, 0};
    NUM(setsockopt(s, SOL_SOCKET, SO_LINGER, &now, sizeof now));
    close(s);
    struct pollfd w = {c, POLLIN};
    NUM(poll(&w, 1, 1000));
    say("%#x", w.revents);
    char b;
    NUM(read(c, &b, 1)), NUM(read(c, &b, 1));
    signal(SIGPIPE, SIG_IGN);
    NUM(write(c, "x", 1));
    // Closing with unread data resets too.
    c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c, (void *)&a, sizeof a));
    s = MUST(accept(l, NULL, NULL));
    write(c, "unread", 6);
    w = (struct pollfd){s, POLLIN};
    poll(&w, 1, 1000);
    close(s);
    w = (struct pollfd){c, POLLHUP};
    poll(&w, 1, 1000);
    NUM(read(c, &b, 1));
}

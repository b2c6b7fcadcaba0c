// Connections to nobody, twice bound ports, wrong families and addresses.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int t = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(t, (void *)&a, sizeof a)), MUST(getsockname(t, (void *)&a, &len));
    int c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    NUM(connect(c, (void *)&a, sizeof a));
    char b;
    NUM(read(c, &b, 1)), NUM(send(c, "x", 1, MSG_NOSIGNAL));
    int d = MUST(socket(AF_INET, SOCK_STREAM, 0));
    NUM(bind(d, (void *)&a, sizeof a));
    NUM(bind(t, (void *)&a, sizeof a));
    NUM(bind(d, (void *)&a, 4));
    struct sockaddr_in x = a;
    x.sin_family = AF_INET6;
    NUM(bind(d, (void *)&x, sizeof x)), NUM(connect(d, (void *)&x, sizeof x));
    x = a, x.sin_addr.s_addr = htonl(0xc0000201), x.sin_port = 0;
    NUM(bind(d, (void *)&x, sizeof x));
    NUM(connect(d, (void *)&a, 4));
    NUM(connect(d, (void *)8, 16)), NUM(bind(900, (void *)&a, sizeof a)), NUM(bind(0, (void *)&a, sizeof a));
    // Without blocking: in progress or refused at once, and SO_ERROR tells once.
    int n = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    int r = connect(n, (void *)&a, sizeof a);
    IS(r == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
    struct pollfd w = {n, POLLOUT};
    NUM(poll(&w, 1, 1000));
    int error = -1;
    len = sizeof error;
    getsockopt(n, SOL_SOCKET, SO_ERROR, &error, &len);
    IS(error == ECONNREFUSED || error == 0);
    len = sizeof error;
    getsockopt(n, SOL_SOCKET, SO_ERROR, &error, &len);
    NUM(error);
    // Listening makes the port reachable; with the listener closed it is refused again.
    NUM(listen(t, 1)), NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&a, sizeof a));
    close(t);
    NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&a, sizeof a));
}

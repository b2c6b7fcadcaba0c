// SO_REUSEADDR and SO_REUSEPORT decide what may be bound twice; the wildcard covers loopback.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
static int make(int type, int reuse, int port_reuse) {
    int fd = MUST(socket(AF_INET, type, 0));
    if (reuse)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, 4);
    if (port_reuse)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &port_reuse, 4);
    return fd;
}
int main(void) {
    struct sockaddr_in any = {AF_INET}, lo = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof any;
    for (int reuse = 0; reuse < 2; reuse++) {
        int a = make(SOCK_STREAM, reuse, 0);
        any.sin_port = 0;
        MUST(bind(a, (void *)&any, sizeof any)), MUST(getsockname(a, (void *)&any, &len));
        lo.sin_port = any.sin_port;
        NUM(bind(make(SOCK_STREAM, reuse, 0), (void *)&lo, sizeof lo));
        NUM(listen(a, 1));
        NUM(bind(make(SOCK_STREAM, reuse, 0), (void *)&lo, sizeof lo));
        NUM(bind(make(SOCK_DGRAM, 0, 0), (void *)&lo, sizeof lo));
    }
    int a = make(SOCK_STREAM, 0, 1), b = make(SOCK_STREAM, 0, 1);
    lo.sin_port = 0;
    MUST(bind(a, (void *)&lo, sizeof lo)), MUST(getsockname(a, (void *)&lo, &len));
    NUM(bind(b, (void *)&lo, sizeof lo)), NUM(listen(a, 1)), NUM(listen(b, 1));
    NUM(bind(make(SOCK_STREAM, 1, 0), (void *)&lo, sizeof lo));
    int u = make(SOCK_DGRAM, 1, 0), v = make(SOCK_DGRAM, 1, 0);
    lo.sin_port = 0;
    MUST(bind(u, (void *)&lo, sizeof lo)), MUST(getsockname(u, (void *)&lo, &len));
    NUM(bind(v, (void *)&lo, sizeof lo));
    // A server that restarts: the port of closed connections can be bound again with SO_REUSEADDR.
    int l = make(SOCK_STREAM, 1, 0);
    lo.sin_port = 0;
    MUST(bind(l, (void *)&lo, sizeof lo)), MUST(getsockname(l, (void *)&lo, &len)), MUST(listen(l, 1));
    int c = make(SOCK_STREAM, 0, 0);
    MUST(connect(c, (void *)&lo, sizeof lo));
    int s = MUST(accept(l, NULL, NULL));
    close(s), close(c), close(l);
    l = make(SOCK_STREAM, 1, 0);
    NUM(bind(l, (void *)&lo, sizeof lo)), NUM(listen(l, 1));
    NUM(connect(make(SOCK_STREAM, 0, 0), (void *)&lo, sizeof lo));
}

// What an accepted socket inherits from its listener and what not.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
static int option(int fd, int level, int name) {
    int v = -1;
    socklen_t len = sizeof v;
    return getsockopt(fd, level, name, &v, &len) ? -1 : v;
}
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0)), one = 1;
    setsockopt(l, IPPROTO_TCP, TCP_NODELAY, &one, 4), setsockopt(l, SOL_SOCKET, SO_KEEPALIVE, &one, 4), setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, 4);
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    fcntl(l, F_SETFL, O_NONBLOCK), fcntl(l, F_SETFD, FD_CLOEXEC);
    int c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c, (void *)&a, sizeof a));
    poll(&(struct pollfd){l, POLLIN}, 1, 1000);
    int s = MUST(accept(l, NULL, NULL));
    NUM(option(s, IPPROTO_TCP, TCP_NODELAY)), NUM(option(s, SOL_SOCKET, SO_KEEPALIVE)), NUM(option(s, SOL_SOCKET, SO_REUSEADDR)), NUM(option(s, SOL_SOCKET, SO_ACCEPTCONN));
    NUM(fcntl(s, F_GETFL) & O_NONBLOCK), NUM(fcntl(s, F_GETFD));
    NUM(option(c, IPPROTO_TCP, TCP_NODELAY));
    struct tcp_info info;
    len = sizeof info;
    getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &len);
    NUM(info.tcpi_state);
    close(c);
    poll(&(struct pollfd){s, POLLIN}, 1, 1000);
    len = sizeof info;
    getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &len);
    NUM(info.tcpi_state);
}

// Socket options of Unix sockets: type, domain, buffers, timeouts, accept state.
#include "../case.h"
int main(void) {
    int s[2], v;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    socklen_t len;
#define GET(option) (v = -1, len = sizeof v, getsockopt(s[0], SOL_SOCKET, option, &v, &len) ? -errno : v)
    NUM(GET(SO_TYPE)), NUM(GET(SO_DOMAIN)), NUM(GET(SO_PROTOCOL)), NUM(GET(SO_ACCEPTCONN)), NUM(GET(SO_ERROR)), NUM(GET(SO_KEEPALIVE)), NUM(GET(SO_REUSEADDR));
    IS(GET(SO_SNDBUF) >= 4096);
    v = 20000;
    NUM(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof v));
    NUM(GET(SO_SNDBUF));
    v = 1;
    NUM(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof v));
    NUM(GET(SO_SNDBUF));
    struct timeval t = {0, 50000};
    NUM(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    char c;
    int64_t start = now_ms();
    NUM(read(s[0], &c, 1));
    IS(now_ms() - start >= 48);
    t.tv_usec = 2000000;
    NUM(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    NUM(setsockopt(s[0], SOL_SOCKET, 9999, &v, sizeof v));
    NUM(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, 1));
    NUM(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, (void *)8, 4));
    NUM(setsockopt(s[0], 6, 1, &v, sizeof v));
    NUM(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, (void *)8));
    NUM(setsockopt(0, SOL_SOCKET, SO_SNDBUF, &v, 4));
    len = 2;
    NUM(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, &len));
    NUM(len);
    struct linger l = {1, 5};
    NUM(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, sizeof l));
    NUM(socket(AF_UNIX, SOCK_RAW, 0) >= 0), NUM(socket(99, SOCK_STREAM, 0)), NUM(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0));
}

// TCP and IP options: what is set is what is read.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
static int fd;
static int get_int(int level, int option) {
    int v = -1;
    socklen_t len = sizeof v;
    return getsockopt(fd, level, option, &v, &len) ? -errno : v;
}
static void set_int(int level, int option, int v) {
    const char *result = setsockopt(fd, level, option, &v, sizeof v) ? errname(errno) : "ok";
    say("set %d.%d to %d: %s, now %d", level, option, v, result, get_int(level, option));
}
int main(void) {
    fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
    NUM(get_int(SOL_SOCKET, SO_TYPE)), NUM(get_int(SOL_SOCKET, SO_DOMAIN)), NUM(get_int(SOL_SOCKET, SO_PROTOCOL)), NUM(get_int(SOL_SOCKET, SO_ACCEPTCONN));
    set_int(IPPROTO_TCP, TCP_NODELAY, 1), set_int(IPPROTO_TCP, TCP_NODELAY, 0), set_int(SOL_SOCKET, SO_REUSEADDR, 1), set_int(SOL_SOCKET, SO_REUSEPORT, 1);
    set_int(SOL_SOCKET, SO_KEEPALIVE, 1), set_int(IPPROTO_TCP, TCP_KEEPIDLE, 60), set_int(IPPROTO_TCP, TCP_KEEPINTVL, 10), set_int(IPPROTO_TCP, TCP_KEEPCNT, 5);
    set_int(SOL_SOCKET, SO_BROADCAST, 1), set_int(IPPROTO_IP, IP_TTL, 40), set_int(IPPROTO_IP, IP_TOS, 16), set_int(IPPROTO_TCP, TCP_KEEPIDLE, 0);
    set_int(SOL_SOCKET, SO_OOBINLINE, 1), set_int(SOL_SOCKET, SO_RCVBUF, 50000), set_int(SOL_SOCKET, SO_PRIORITY, 3), set_int(IPPROTO_TCP, TCP_QUICKACK, 0);
    set_int(IPPROTO_IP, IP_TTL, 300), set_int(IPPROTO_TCP, 9999, 1), set_int(IPPROTO_TCP, TCP_USER_TIMEOUT, 5000), set_int(IPPROTO_TCP, TCP_CORK, 1);
    struct tcp_info info;
    socklen_t len = sizeof info;
    NUM(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    NUM(info.tcpi_state);
    struct linger l = {1, 3};
    NUM(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
    len = sizeof l;
    l.l_linger = 9;
    NUM(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len)), NUM(l.l_linger);
    NUM(listen(fd, 1)), NUM(get_int(SOL_SOCKET, SO_ACCEPTCONN));
    char name[16] = "reno";
    len = sizeof name;
    NUM(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    NUM(get_int(IPPROTO_TCP, TCP_NODELAY));
    set_int(IPPROTO_IP, IP_MULTICAST_TTL, 5), set_int(IPPROTO_IP, IP_MULTICAST_LOOP, 0), set_int(IPPROTO_IP, IP_PKTINFO, 1), set_int(IPPROTO_IP, IP_RECVTTL, 1);
}

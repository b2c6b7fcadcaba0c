// /proc/net/tcp, udp and unix list the sockets of this program in their form.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    scratch();
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0)), u = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    char want[64];
    sprintf(want, "0100007F:%04X 00000000:0000 0A", ntohs(a.sin_port));
    IS(strstr(get("/proc/net/tcp"), want) != NULL);
    a.sin_port = 0;
    MUST(bind(u, (void *)&a, sizeof a)), MUST(getsockname(u, (void *)&a, &len));
    sprintf(want, "0100007F:%04X 00000000:0000 07", ntohs(a.sin_port));
    IS(strstr(get("/proc/net/udp"), want) != NULL);
    struct sockaddr_un un = {AF_UNIX, "listed-socket"};
    int s = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(s, (void *)&un, sizeof un)), MUST(listen(s, 1));
    IS(strstr(get("/proc/net/unix"), "listed-socket") != NULL);
    IS(strstr(get("/proc/net/dev"), "lo:") != NULL);
    IS(strstr(get("/proc/net/route"), "Iface") != NULL);
    IS(strstr(get("/proc/net/tcp"), "  sl  local_address") != NULL);
}

// IPv6 loopback: TCP and UDP, v4-mapped connections, IPV6_V6ONLY.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback}, from;
    socklen_t len = sizeof a;
    int l = TRY(socket(AF_INET6, SOCK_STREAM, 0));
    NUM(bind(l, (void *)&a, sizeof a)), NUM(getsockname(l, (void *)&a, &len)), NUM(listen(l, 1));
    int c = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    NUM(connect(c, (void *)&a, sizeof a));
    len = sizeof from;
    int s = TRY(accept(l, (void *)&from, &len));
    char text[64];
    say("%d %s", (int)len, inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text));
    NUM(write(c, "six", 3)), NUM(read(s, text, 3));
    int any = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    struct sockaddr_in6 w = {.sin6_family = AF_INET6};
    len = sizeof w;
    MUST(bind(any, (void *)&w, sizeof w)), MUST(getsockname(any, (void *)&w, &len)), MUST(listen(any, 1));
    struct sockaddr_in four = {AF_INET, w.sin6_port, {htonl(INADDR_LOOPBACK)}};
    NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&four, sizeof four));
    len = sizeof from;
    TRY(accept(any, (void *)&from, &len));
    say("%s", inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text));
    int only = MUST(socket(AF_INET6, SOCK_STREAM, 0)), one = 1;
    NUM(setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one));
    w.sin6_port = 0, len = sizeof w;
    MUST(bind(only, (void *)&w, sizeof w)), MUST(getsockname(only, (void *)&w, &len)), MUST(listen(only, 1));
    four.sin_port = w.sin6_port;
    NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&four, sizeof four));
}

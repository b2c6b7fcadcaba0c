// All of 127.0.0.0/8 is this host; 0.0.0.0 connects to it as well; privileged ports need rights.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {inet_addr("127.8.9.10")}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0));
    NUM(bind(l, (void *)&a, sizeof a)), NUM(listen(l, 1)), MUST(getsockname(l, (void *)&a, &len));
    NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&a, sizeof a));
    struct sockaddr_in b = a;
    b.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&b, sizeof b));
    int w = MUST(socket(AF_INET, SOCK_STREAM, 0));
    b.sin_addr.s_addr = 0, b.sin_port = 0;
    MUST(bind(w, (void *)&b, sizeof b)), MUST(getsockname(w, (void *)&b, &len)), MUST(listen(w, 3));
    NUM(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&b, sizeof b));
    if (setuid(1000))
        return 9;
    b.sin_port = htons(81);
    NUM(bind(MUST(socket(AF_INET, SOCK_STREAM, 0)), (void *)&b, sizeof b));
    NUM(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), NUM(socket(AF_PACKET, SOCK_RAW, 0));
    NUM(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)), NUM(socket(AF_INET, 77, 0)), NUM(socket(AF_INET, SOCK_SEQPACKET, 0));
}

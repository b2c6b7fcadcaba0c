// TCP over loopback: connect, accept, addresses, data both ways, half close, end.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, got, peer;
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0)), c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    NUM(bind(l, (void *)&a, sizeof a));
    MUST(getsockname(l, (void *)&a, &len));
    IS(ntohs(a.sin_port) >= 1024);
    NUM(listen(l, 5));
    NUM(connect(c, (void *)&a, sizeof a));
    len = sizeof peer;
    int s = TRY(accept(l, (void *)&peer, &len));
    say("%d %s", (int)len, inet_ntoa(peer.sin_addr));
    len = sizeof got;
    getsockname(c, (void *)&got, &len);
    IS(got.sin_port == peer.sin_port);
    len = sizeof got;
    getpeername(c, (void *)&got, &len);
    IS(got.sin_port == a.sin_port);
    len = sizeof got;
    getsockname(s, (void *)&got, &len);
    IS(got.sin_port == a.sin_port && got.sin_addr.s_addr == a.sin_addr.s_addr);
    NUM(write(c, "hello", 5));
    char b[16] = "";
    NUM(recv(s, b, 5, MSG_WAITALL));
    say("%s", b);
    NUM(send(s, "answer", 6, 0));
    NUM(recv(c, b, 16, 0));
    NUM(shutdown(c, SHUT_WR));
    NUM(recv(s, b, 16, 0));
    NUM(write(s, "more", 4));
    NUM(read(c, b, 16));
    close(s);
    NUM(read(c, b, 16));
    signal(SIGPIPE, SIG_IGN);
    NUM(write(c, "x", 1));
    NUM(connect(c, (void *)&a, sizeof a));
    NUM(accept(c, NULL, NULL)), NUM(listen(c, 1) == 0 || errno == EINVAL);
    NUM(shutdown(l, SHUT_RD)), NUM(getpeername(l, (void *)&got, &len));
}

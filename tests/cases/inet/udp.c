// UDP over loopback: boundaries, truncation, connected sockets, refused ports, sizes.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, b = a, from;
    socklen_t len = sizeof a;
    int r = MUST(socket(AF_INET, SOCK_DGRAM, 0)), s = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(bind(r, (void *)&a, sizeof a)), MUST(getsockname(r, (void *)&a, &len));
    NUM(sendto(s, "one", 3, 0, (void *)&a, sizeof a)), NUM(sendto(s, "", 0, 0, (void *)&a, sizeof a)), NUM(sendto(s, "three", 5, 0, (void *)&a, sizeof a));
    char t[32] = "";
    struct timeval limit = {1, 0};
    setsockopt(r, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    len = sizeof from;
    NUM(recvfrom(r, t, 32, 0, (void *)&from, &len));
    MUST(getsockname(s, (void *)&b, &len));
    say("%s %s %d", t, inet_ntoa(from.sin_addr), from.sin_port == b.sin_port);
    NUM(recv(r, t, 32, 0));
    int n = -1;
    nap(5);
    ioctl(r, FIONREAD, &n);
    NUM(n);
    NUM(recv(r, t, 2, MSG_TRUNC | MSG_PEEK)), NUM(recv(r, t, 2, 0)), NUM(recv(r, t, 32, MSG_DONTWAIT));
    NUM(send(s, "x", 1, 0));
    NUM(connect(s, (void *)&a, sizeof a)), NUM(send(s, "y", 1, 0)), NUM(recv(r, t, 32, 0));
    // A connected socket takes packets from its peer only.
    int z = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    b.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sendto(z, "stranger", 8, 0, (void *)&b, sizeof b), sendto(r, "peer", 4, 0, (void *)&b, sizeof b);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    memset(t, 0, 32);
    NUM(recv(s, t, 32, 0));
    say("%s", t);
    // A closed port answers: the next call on a connected socket fails.
    close(r);
    NUM(send(s, "x", 1, 0));
    struct pollfd w = {s, POLLIN};
    poll(&w, 1, 1000);
    NUM(recv(s, t, 32, MSG_DONTWAIT)), NUM(recv(s, t, 32, MSG_DONTWAIT));
    static char big[70000];
    r = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    setsockopt(r, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    a.sin_port = 0, len = sizeof a;
    MUST(bind(r, (void *)&a, sizeof a)), MUST(getsockname(r, (void *)&a, &len));
    NUM(sendto(s, big, 65508, 0, (void *)&a, sizeof a)), NUM(sendto(z, big, 65507, 0, (void *)&a, sizeof a)), NUM(recv(r, big, 70000, 0));
    struct sockaddr none = {AF_UNSPEC};
    NUM(connect(s, &none, sizeof none)), NUM(send(s, "x", 1, 0)), NUM(listen(s, 1)), NUM(accept(s, NULL, NULL));
    a.sin_port = 0;
    NUM(sendto(s, "x", 1, 0, (void *)&a, sizeof a));
}

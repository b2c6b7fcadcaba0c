// Datagrams: boundaries, truncation, addresses, connected peers, full queues, too long ones.
#include "../case.h"
int main(void) {
    scratch();
    struct sockaddr_un a = {AF_UNIX, "a"}, b = {AF_UNIX, "b"}, from;
    int s = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), r = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(bind(r, (void *)&b, sizeof b));
    NUM(sendto(s, "one", 3, 0, (void *)&b, sizeof b)), NUM(sendto(s, "", 0, 0, (void *)&b, sizeof b)), NUM(sendto(s, "three", 5, 0, (void *)&b, sizeof b));
    char t[32] = "";
    socklen_t len = sizeof from;
    NUM(recvfrom(r, t, 32, 0, (void *)&from, &len));
    say("%s, name %d", t, (int)len);
    NUM(recv(r, t, 32, 0));
    NUM(recv(r, t, 2, MSG_TRUNC));
    NUM(recv(r, t, 32, MSG_DONTWAIT));
    MUST(bind(s, (void *)&a, sizeof a));
    NUM(connect(s, (void *)&b, sizeof b));
    NUM(send(s, "x", 1, 0));
    len = sizeof from;
    NUM(recvfrom(r, t, 32, 0, (void *)&from, &len));
    say("%s", from.sun_path);
    int other = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    NUM(connect(r, (void *)&a, sizeof a));
    NUM(sendto(other, "x", 1, 0, (void *)&b, sizeof b));
    NUM(send(other, "x", 1, 0));
    a.sun_path[0] = 'z';
    NUM(sendto(other, "x", 1, 0, (void *)&a, sizeof a));
    static char big[400000];
    NUM(send(s, big, 400000, 0));
    NUM(send(s, big, 100000, 0));
    NUM(recv(r, big, 400000, 0));
    fcntl(s, F_SETFL, O_NONBLOCK);
    int n = 0;
    while (send(s, "y", 1, 0) == 1)
        n++;
    say("%s", errname(errno));
    IS(n >= 10 && n < 1000);
    close(r);
    NUM(send(s, "x", 1, 0));
    unlink("b");
    NUM(send(s, "x", 1, 0));
    struct sockaddr none = {AF_UNSPEC};
    NUM(connect(s, &none, sizeof none));
    NUM(send(s, "x", 1, 0));
}

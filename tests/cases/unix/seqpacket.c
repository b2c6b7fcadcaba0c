// Sequenced packets keep boundaries over a connection, with end of file.
#include "../case.h"
int main(void) {
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
    NUM(send(s[0], "first", 5, 0)), NUM(send(s[0], "second", 6, 0));
    char b[16] = "";
    struct iovec v = {b, 3};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    NUM(recvmsg(s[1], &m, 0));
    IS(m.msg_flags & MSG_TRUNC);
    NUM(read(s[1], b, 16));
    say("%s", b);
    NUM(send(s[0], "", 0, 0)), NUM(send(s[0], "x", 1, 0));
    NUM(read(s[1], b, 16)), NUM(read(s[1], b, 16));
    close(s[0]);
    NUM(read(s[1], b, 16));
    NUM(send(s[1], "x", 1, MSG_NOSIGNAL));
    scratch();
    struct sockaddr_un un = {AF_UNIX, "s"};
    int l = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    MUST(bind(l, (void *)&un, sizeof un)), MUST(listen(l, 1));
    NUM(connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, sizeof un));
    int c = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    NUM(connect(c, (void *)&un, sizeof un));
    int a = MUST(accept(l, NULL, NULL));
    NUM(write(a, "packet", 6)), NUM(recv(c, b, 2, MSG_TRUNC));
}

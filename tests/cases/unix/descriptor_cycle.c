// A socket sent over itself and closed does not leak: its pipe passenger is closed by collection.
#include "../case.h"
int main(void) {
    int s[2], p[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s)), MUST(pipe(p));
    int fds[2] = {s[0], p[1]};
    char control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec v = {"x", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    NUM(sendmsg(s[1], &m, 0));
    close(s[0]), close(s[1]), close(p[1]);
    struct pollfd w = {p[0], POLLIN};
    // Collection is started by further socket traffic at the latest.
    for (int i = 0; i < 50 && poll(&w, 1, 20) == 0; i++) {
        int t[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, t));
        close(t[0]), close(t[1]);
    }
    NUM(poll(&w, 1, 0));
    char b;
    NUM(read(p[0], &b, 1));
}

// SO_PEERCRED and SCM_CREDENTIALS tell who is at the other end.
#include "../case.h"
int main(void) {
    scratch();
    int s[2], one = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    struct ucred u;
    socklen_t len = sizeof u;
    NUM(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &len));
    IS(u.pid == getpid() && u.uid == geteuid() && u.gid == getegid());
    struct sockaddr_un un = {AF_UNIX, "s"};
    int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&un, sizeof un)), MUST(listen(l, 1)), MUST(chmod(".", 0777)), MUST(chmod("s", 0777));
    pid_t pid = MUST(fork());
    if (!pid) {
        if (setgid(55) || setuid(66))
            _exit(9);
        int c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
        MUST(connect(c, (void *)&un, sizeof un));
        len = sizeof u;
        getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &len);
        char b;
        read(c, &b, 1);
        _exit(u.pid == getppid() && u.uid == 0 ? 1 : 2);
    }
    int a = MUST(accept(l, NULL, NULL));
    len = sizeof u;
    getsockopt(a, SOL_SOCKET, SO_PEERCRED, &u, &len);
    say("%d %d %d", u.pid == pid, u.uid, u.gid);
    write(a, "x", 1);
    reap("client", pid);
    NUM(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    write(s[0], "hello", 5);
    char text[16], control[CMSG_SPACE(sizeof u)] = {0};
    struct iovec v = {text, 16};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    NUM(recvmsg(s[1], &m, 0));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    IS(c && c->cmsg_type == SCM_CREDENTIALS && !memcmp(CMSG_DATA(c), &(struct ucred){getpid(), getuid(), getgid()}, sizeof u));
    m = (struct msghdr){.msg_iov = &(struct iovec){"y", 1}, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_CREDENTIALS, c->cmsg_len = CMSG_LEN(sizeof u);
    u = (struct ucred){getpid(), 77, 88};
    memcpy(CMSG_DATA(c), &u, sizeof u);
    NUM(sendmsg(s[0], &m, 0));
    if (setuid(99))
        return 9;
    NUM(sendmsg(s[0], &m, 0));
}

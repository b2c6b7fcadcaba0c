// SCM_RIGHTS: descriptors arrive as new numbers on the same open file, with flags, limits and in-flight closing.
#include "../case.h"
static long send_fds(int s, int *fds, int n, const char *text) {
    char control[CMSG_SPACE(sizeof(int) * 300)];
    memset(control, 0, sizeof control);
    struct iovec v = {(char *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    return sendmsg(s, &m, 0);
}
static long receive(int s, int *fds, int max, int flags, int *got, int *out) {
    char control[CMSG_SPACE(sizeof(int) * 300)], text[64];
    struct iovec v = {text, 64};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = max ? CMSG_LEN(sizeof(int) * max) : 0};
    long n = recvmsg(s, &m, flags);
    *got = 0, *out = m.msg_flags;
    struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c) {
        *got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *got * sizeof(int));
    }
    return n;
}
int main(void) {
    scratch();
    put("f", "0123456789");
    int s[2], fds[300], got, flags;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    int fd = MUST(open("f", O_RDONLY));
    NUM(send_fds(s[0], &fd, 1, "x"));
    lseek(fd, 4, SEEK_SET);
    NUM(receive(s[1], fds, 4, MSG_CMSG_CLOEXEC, &got, &flags));
    char c;
    NUM(got);
    IS(fds[0] != fd);
    NUM(read(fds[0], &c, 1));
    say("%c", c);
    NUM(lseek(fd, 0, SEEK_CUR));
    NUM(fcntl(fds[0], F_GETFD));
    int many[3] = {fd, 0, 1};
    NUM(send_fds(s[0], many, 3, "y"));
    NUM(receive(s[1], fds, 2, 0, &got, &flags));
    say("%d, truncated %d", got, !!(flags & MSG_CTRUNC));
    NUM(fcntl(fds[0], F_GETFD));
    NUM(send_fds(s[0], many, 3, "z"));
    NUM(receive(s[1], fds, 0, 0, &got, &flags));
    say("%d, truncated %d", got, !!(flags & MSG_CTRUNC));
    int bad = 900;
    NUM(send_fds(s[0], &bad, 1, "x"));
    for (int i = 0; i < 300; i++)
        fds[i] = fd;
    NUM(send_fds(s[0], fds, 254, "x"));
    // A pipe end in flight keeps the pipe open; when the socket dies the end is closed.
    int p[2];
    MUST(pipe(p));
    NUM(send_fds(s[0], &p[1], 1, "w"));
    close(p[1]);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    NUM(read(p[0], &c, 1));
    close(s[1]), close(s[0]);
    NUM(read(p[0], &c, 1));
    // A byte boundary: reads stop before a message with descriptors.
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    write(s[0], "ab", 2);
    send_fds(s[0], &fd, 1, "cd");
    write(s[0], "ef", 2);
    NUM(receive(s[1], fds, 4, 0, &got, &flags)), NUM(got);
    NUM(receive(s[1], fds, 4, 0, &got, &flags)), NUM(got);
    // A child receives from its parent.
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
    pid_t pid = MUST(fork());
    if (!pid) {
        receive(s[1], fds, 1, 0, &got, &flags);
        lseek(fds[0], 0, SEEK_SET);
        read(fds[0], &c, 1);
        _exit(c);
    }
    send_fds(s[0], &fd, 1, "to the child");
    reap("child", pid);
}

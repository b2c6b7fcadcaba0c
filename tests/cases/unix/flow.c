// A stream socket's writer blocks when nobody reads; large messages arrive whole through iovecs and sendmmsg.
#include "../case.h"
int main(void) {
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid_t pid = MUST(fork());
    if (!pid) {
        close(s[0]);
        static char data[3000000];
        for (int i = 0; i < 3000000; i++)
            data[i] = i % 253;
        struct iovec v[3] = {{data, 1000000}, {data + 1000000, 500000}, {data + 1500000, 1500000}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
        _exit(sendmsg(s[1], &m, 0) == 3000000 ? 3 : 4);
    }
    close(s[1]);
    wait_asleep(pid);
    static unsigned char b[70000];
    long total = 0, bad = 0;
    for (ssize_t n; (n = recv(s[0], b, sizeof b, 0)) > 0; total += n)
        for (int i = 0; i < n; i++)
            bad += b[i] != (total + i) % 253;
    NUM(total), NUM(bad);
    reap("writer", pid);
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
    struct iovec v[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    struct mmsghdr m[3] = {{{.msg_iov = v, .msg_iovlen = 1}}, {{.msg_iov = v, .msg_iovlen = 2}}, {{.msg_iov = v, .msg_iovlen = 3}}};
    NUM(sendmmsg(s[0], m, 3, 0));
    say("%d %d %d", m[0].msg_len, m[1].msg_len, m[2].msg_len);
    char t[3][16] = {"", "", ""};
    struct iovec r[3] = {{t[0], 16}, {t[1], 16}, {t[2], 16}};
    struct mmsghdr q[4] = {{{.msg_iov = r, .msg_iovlen = 1}}, {{.msg_iov = r + 1, .msg_iovlen = 1}}, {{.msg_iov = r + 2, .msg_iovlen = 1}}};
    NUM(recvmmsg(s[1], q, 4, MSG_DONTWAIT, NULL));
    say("%s %s %s", t[0], t[1], t[2]);
    NUM(recvmmsg(s[1], q, 4, MSG_DONTWAIT, NULL));
    NUM(recv(s[1], t, 16, MSG_OOB)), NUM(send(s[1], "x", 1, MSG_OOB));
}

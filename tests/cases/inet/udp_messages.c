// sendmsg and recvmsg with parts, sender names, packet information and several at once.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, from;
    socklen_t len = sizeof a;
    int r = MUST(socket(AF_INET, SOCK_DGRAM, 0)), s = MUST(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
    MUST(bind(r, (void *)&a, sizeof a)), MUST(getsockname(r, (void *)&a, &len));
    struct iovec v[3] = {{"scattered ", 10}, {"", 0}, {"parts", 5}};
    struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = v, .msg_iovlen = 3};
    NUM(sendmsg(s, &m, 0));
    char x[6] = "", y[32] = "", control[200];
    struct iovec w[2] = {{x, 5}, {y, 31}};
    m = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = w, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    NUM(recvmsg(r, &m, 0));
    say("%s|%s, name %d, control %d, flags %d", x, y, m.msg_namelen, (int)m.msg_controllen, m.msg_flags);
    NUM(setsockopt(r, IPPROTO_IP, IP_PKTINFO, &one, sizeof one));
    sendto(s, "z", 1, 0, (void *)&a, sizeof a);
    m.msg_controllen = sizeof control, m.msg_namelen = sizeof from;
    NUM(recvmsg(r, &m, 0));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_type == IP_PKTINFO)
        say("packet information: to %s", inet_ntoa(((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr));
    struct mmsghdr mm[3] = {0};
    for (int i = 0; i < 3; i++)
        mm[i].msg_hdr = (struct msghdr){.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = v, .msg_iovlen = i + 1};
    NUM(sendmmsg(s, mm, 3, 0));
    nap(10);
    char t[4][32] = {""};
    struct iovec q[4];
    struct mmsghdr mr[4] = {0};
    for (int i = 0; i < 4; i++)
        q[i] = (struct iovec){t[i], 31}, mr[i].msg_hdr = (struct msghdr){.msg_iov = &q[i], .msg_iovlen = 1};
    NUM(recvmmsg(r, mr, 4, MSG_WAITFORONE, NULL));
    say("%d %d %d", mr[0].msg_len, mr[1].msg_len, mr[2].msg_len);
    struct timespec limit = {0, 20000000};
    setsockopt(r, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 30000}, sizeof(struct timeval));
    NUM(recvmmsg(r, mr, 1, 0, &limit));
}

// An event loop serves twenty clients over TCP with edge-triggered epoll.
//= timeout 20
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
static struct sockaddr_in a = {AF_INET};
static void *client(void *arg) {
    int c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c, (void *)&a, sizeof a));
    long bad = 0;
    for (int i = 0; i < 30; i++) {
        char out[100], in[100];
        memset(out, 'a' + (i + (long)arg) % 26, sizeof out);
        MUST(write(c, out, sizeof out));
        for (int n = 0; n < 100;)
            n += MUST(read(c, in + n, 100 - n));
        bad += memcmp(out, in, 100) != 0;
    }
    shutdown(c, SHUT_WR);
    char x;
    bad += read(c, &x, 1) != 0;
    close(c);
    return (void *)bad;
}
int main(void) {
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), e = MUST(epoll_create1(0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 64));
    struct epoll_event ev = {EPOLLIN, {.fd = l}}, events[16];
    MUST(epoll_ctl(e, EPOLL_CTL_ADD, l, &ev));
    pthread_t t[20];
    for (long i = 0; i < 20; i++)
        pthread_create(&t[i], NULL, client, (void *)i);
    for (int closed = 0; closed < 20;) {
        int n = epoll_wait(e, events, 16, 5000);
        if (n <= 0) {
            say("no event for five seconds");
            return 1;
        }
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == l) {
                int c;
                while ((c = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    ev = (struct epoll_event){EPOLLIN | EPOLLET | EPOLLRDHUP, {.fd = c}};
                    MUST(epoll_ctl(e, EPOLL_CTL_ADD, c, &ev));
                }
                continue;
            }
            char b[256];
            ssize_t r;
            while ((r = read(fd, b, sizeof b)) > 0)
                MUST(write(fd, b, r));
            if (r == 0)
                close(fd), closed++;
        }
    }
    long bad = 0;
    for (int i = 0; i < 20; i++) {
        void *r;
        pthread_join(t[i], &r);
        bad += (long)r;
    }
    NUM(bad);
}

// Twenty megabytes through a connection, both directions at once, unharmed.
//= timeout 30
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
enum { TOTAL = 10 << 20 };
static int s[2];
static void *sender(void *arg) {
    int fd = *(int *)arg;
    static __thread unsigned char b[50000];
    for (long at = 0; at < TOTAL;) {
        long n = TOTAL - at < 50000 ? TOTAL - at : 50000;
        for (long i = 0; i < n; i++)
            b[i] = (at + i) * 7 >> 3;
        for (long done = 0; done < n;)
            done += MUST(write(fd, b + done, n - done));
        at += n;
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}
static void *receiver(void *arg) {
    int fd = *(int *)arg;
    static __thread unsigned char b[30000];
    long at = 0, bad = 0;
    for (ssize_t n; (n = MUST(read(fd, b, sizeof b))) > 0; at += n)
        for (long i = 0; i < n; i++)
            bad += b[i] != (unsigned char)((at + i) * 7 >> 3);
    return (void *)(at == TOTAL ? bad : -1);
}
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    s[0] = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(s[0], (void *)&a, sizeof a));
    s[1] = MUST(accept(l, NULL, NULL));
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, i < 2 ? sender : receiver, &s[i % 2]);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        NUM((long)r);
    }
}

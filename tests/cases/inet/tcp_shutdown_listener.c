// A blocked accept ends when the listener is shut down; a blocked read ends on shutdown by another thread.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
static int l, c;
static void *accepter(void *arg) { return (void *)(long)(accept(l, NULL, NULL) < 0 ? errno : 0); }
static void *reader(void *arg) {
    char b;
    return (void *)read(c, &b, 1);
}
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    l = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c, (void *)&a, sizeof a));
    int s = MUST(accept(l, NULL, NULL));
    (void)s;
    pthread_t t, u;
    void *r;
    pthread_create(&t, NULL, accepter, NULL);
    nap(30);
    NUM(shutdown(l, SHUT_RDWR));
    pthread_join(t, &r);
    say("accept: %s", errname((long)r));
    pthread_create(&u, NULL, reader, NULL);
    nap(30);
    NUM(shutdown(c, SHUT_RD));
    pthread_join(u, &r);
    say("read: %ld", (long)r);
    NUM(send(c, "x", 1, 0));
}

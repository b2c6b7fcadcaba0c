// A blocking connect waits for room in the backlog; accept in another process gives it.
#include "../case.h"
int main(void) {
    scratch();
    struct sockaddr_un un = {AF_UNIX, "s"};
    int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&un, sizeof un)), MUST(listen(l, 0));
    int a = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    NUM(connect(a, (void *)&un, sizeof un));
    pid_t pid = MUST(fork());
    if (!pid) {
        int b = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
        int r = connect(b, (void *)&un, sizeof un);
        _exit(r ? errno : 3);
    }
    wait_asleep(pid);
    TRY(accept(l, NULL, NULL));
    reap("connector", pid);
    // A blocked sender of datagrams goes on when the receiver reads.
    struct sockaddr_un d = {AF_UNIX, "d"};
    int r = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), s = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(bind(r, (void *)&d, sizeof d)), MUST(connect(s, (void *)&d, sizeof d));
    while (send(s, "x", 1, MSG_DONTWAIT) == 1)
        ;
    pid = MUST(fork());
    if (!pid)
        _exit(send(s, "last", 4, 0));
    wait_asleep(pid);
    char c[8];
    int n = 0;
    while (recv(r, c, 8, 0) != 4)
        n++;
    IS(n > 5);
    reap("sender", pid);
}

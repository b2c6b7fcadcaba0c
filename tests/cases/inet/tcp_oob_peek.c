// Urgent data and its mark; peeking; MSG_TRUNC that discards.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 5));
    int c = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(c, (void *)&a, sizeof a));
    int s = MUST(accept(l, NULL, NULL));
    char b[16] = "";
    NUM(send(c, "0123456789", 10, 0));
    NUM(recv(s, b, 4, MSG_PEEK | MSG_WAITALL)), NUM(recv(s, b, 3, MSG_WAITALL));
    say("%s", b);
    NUM(recv(s, NULL, 4, MSG_TRUNC));
    NUM(recv(s, b, 16, 0));
    say("%.3s", b);
    NUM(send(c, "ab", 2, 0)), NUM(send(c, "U", 1, MSG_OOB)), NUM(send(c, "cd", 2, 0));
    struct pollfd w = {s, POLLPRI};
    NUM(poll(&w, 1, 1000));
    nap(20);
    NUM(recv(s, b, 16, MSG_OOB));
    say("%c", b[0]);
    NUM(recv(s, b, 16, 0));
    NUM(sockatmark(s));
    NUM(recv(s, b, 16, 0)), NUM(recv(s, b, 16, MSG_OOB));
}

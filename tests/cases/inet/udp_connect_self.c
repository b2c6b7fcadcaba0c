// A UDP socket connected to itself; many datagrams keep their order; receive buffer drops are bounded.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int s = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(bind(s, (void *)&a, sizeof a)), MUST(getsockname(s, (void *)&a, &len)), NUM(connect(s, (void *)&a, sizeof a));
    int bad = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 20; i++)
            bad += send(s, &i, sizeof i, 0) != sizeof i;
        for (int i = 0; i < 20; i++) {
            int got = -1;
            struct pollfd w = {s, POLLIN};
            poll(&w, 1, 1000);
            bad += recv(s, &got, sizeof got, MSG_DONTWAIT) != sizeof got || got != i;
        }
    }
    NUM(bad);
    static char big[1000];
    int sent = 0;
    for (int i = 0; i < 5000; i++)
        sent += send(s, big, sizeof big, MSG_DONTWAIT) > 0;
    int got = 0;
    while (recv(s, big, sizeof big, MSG_DONTWAIT) > 0)
        got++;
    IS(got > 20 && got < sent);
}

// A pre-forking server: several processes accept on one socket, each connection is served once.
#include "../case.h"
#include <arpa/inet.h>
#include <netinet/in.h>
int main(void) {
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int l = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&a, sizeof a)), MUST(getsockname(l, (void *)&a, &len)), MUST(listen(l, 50));
    pid_t servers[3];
    for (int i = 0; i < 3; i++) {
        servers[i] = MUST(fork());
        if (!servers[i])
            for (;;) {
                int c = accept(l, NULL, NULL);
                char b[64];
                ssize_t n = read(c, b, 64);
                for (int j = 0; j < n; j++)
                    b[j] = toupper(b[j]);
                write(c, b, n);
                close(c);
            }
    }
    int good = 0;
    for (int i = 0; i < 60; i++) {
        int c = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(connect(c, (void *)&a, sizeof a));
        char text[32], b[32] = "", want[32];
        sprintf(text, "request %d", i), sprintf(want, "REQUEST %d", i);
        write(c, text, strlen(text));
        int n = 0;
        for (ssize_t r; (r = read(c, b + n, 31 - n)) > 0; n += r)
            ;
        good += !strcmp(b, want);
        close(c);
    }
    NUM(good);
    for (int i = 0; i < 3; i++) {
        kill(servers[i], SIGTERM);
        reap("server", servers[i]);
    }
}

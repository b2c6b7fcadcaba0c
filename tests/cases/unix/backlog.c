// A full backlog blocks or refuses further connects; accept makes room; a closed listener resets the waiting.
#include "../case.h"
int main(void) {
    scratch();
    struct sockaddr_un un = {AF_UNIX, "sock"};
    int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(l, (void *)&un, sizeof un)), MUST(listen(l, 1));
    int c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
        NUM(connect(c[i], (void *)&un, sizeof un));
    }
    int a = TRY(accept(l, NULL, NULL));
    NUM(connect(c[3], (void *)&un, sizeof un));
    NUM(write(c[1], "early", 5));
    struct pollfd w = {l, POLLIN};
    NUM(poll(&w, 1, 0));
    close(l);
    char b[8];
    NUM(read(c[1], b, 8));
    signal(SIGPIPE, SIG_IGN);
    NUM(write(c[1], "x", 1));
    int error = -1;
    socklen_t len = sizeof error;
    NUM(getsockopt(c[1], SOL_SOCKET, SO_ERROR, &error, &len));
    NUM(error);
}

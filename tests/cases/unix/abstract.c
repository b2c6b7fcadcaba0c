// Abstract names: bytes count exactly, autobind, gone with the socket.
#include "../case.h"
int main(void) {
    struct sockaddr_un un = {AF_UNIX}, got;
    memcpy(un.sun_path, "\0husk-case\0x", 12);
    int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    NUM(bind(l, (void *)&un, 2 + 12)), NUM(listen(l, 5));
    int c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    NUM(connect(c, (void *)&un, 2 + 11));
    NUM(connect(c, (void *)&un, sizeof un));
    NUM(connect(c, (void *)&un, 2 + 12));
    socklen_t len = sizeof got;
    getpeername(c, (void *)&got, &len);
    NUM(len);
    IS(!memcmp(got.sun_path, un.sun_path, 12));
    NUM(bind(MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), (void *)&un, 2 + 12));
    NUM(bind(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, 2 + 12));
    close(l);
    NUM(connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, 2 + 12));
    int d = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    NUM(bind(d, (void *)&un, 2));
    len = sizeof got;
    getsockname(d, (void *)&got, &len);
    say("%d, first byte %d", (int)len, got.sun_path[0]);
}

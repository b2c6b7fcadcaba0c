// Bind, listen, connect, accept by path: names, refusals, removed paths, backlog.
#include "../case.h"
int main(void) {
    scratch();
    struct sockaddr_un un = {AF_UNIX, "sock"}, got;
    socklen_t len;
    int l = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    NUM(connect(c, (void *)&un, sizeof un));
    NUM(bind(l, (void *)&un, sizeof un));
    struct stat s;
    stat("sock", &s);
    IS(S_ISSOCK(s.st_mode));
    NUM(open("sock", O_RDWR));
    NUM(connect(c, (void *)&un, sizeof un));
    NUM(listen(l, 2));
    NUM(connect(c, (void *)&un, sizeof un));
    NUM(connect(c, (void *)&un, sizeof un));
    len = sizeof got;
    int a = TRY(accept4(l, (void *)&got, &len, SOCK_NONBLOCK | SOCK_CLOEXEC));
    say("len %d", (int)len);
    IS((fcntl(a, F_GETFL) & O_NONBLOCK) && fcntl(a, F_GETFD) == 1);
    len = sizeof got;
    NUM(getpeername(c, (void *)&got, &len));
    say("%s %d", got.sun_path, (int)len);
    len = sizeof got;
    NUM(getsockname(a, (void *)&got, &len));
    say("%s", got.sun_path);
    NUM(write(c, "hi", 2));
    char b[8];
    NUM(read(a, b, 8)), NUM(read(a, b, 8));
    fcntl(l, F_SETFL, O_NONBLOCK);
    NUM(accept(l, NULL, NULL));
    NUM(accept(c, NULL, NULL)), NUM(listen(c, 1)), NUM(bind(c, (void *)&un, sizeof un));
    int d = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    NUM(bind(d, (void *)&un, sizeof un));
    unlink("sock");
    NUM(connect(d, (void *)&un, sizeof un));
    NUM(bind(d, (void *)&un, sizeof un));
    NUM(bind(d, (void *)&un, sizeof un));
    NUM(connect(c, (void *)&un, 1));
    un.sun_family = AF_INET;
    NUM(connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, sizeof un));
    un.sun_family = AF_UNIX;
    put("plain", "");
    strcpy(un.sun_path, "plain");
    NUM(connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, sizeof un));
    NUM(accept4(l, NULL, NULL, 0x40));
}

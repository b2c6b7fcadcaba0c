// What poll says of pipe ends through their life.
#include "../case.h"
static void show(const char *what, int *p) {
    struct pollfd w[2] = {{p[0], POLLIN | POLLOUT}, {p[1], POLLIN | POLLOUT}};
    int n = poll(w, 2, 0);
    say("%s: %d, %#x %#x", what, n, w[0].revents, w[1].revents);
}
int main(void) {
    int p[2];
    static char data[65536];
    MUST(pipe(p));
    show("empty", p);
    write(p[1], "x", 1);
    show("one byte", p);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    while (write(p[1], data, 4096) > 0)
        ;
    show("full", p);
    read(p[0], data, 4096);
    show("a page free", p);
    int r = dup(p[0]);
    close(p[0]);
    p[0] = r;
    close(p[1]);
    p[1] = -1;
    show("no writer", p);
    while (read(p[0], data, 65536) > 0)
        ;
    show("no writer, empty", p);
    MUST(pipe(p));
    close(p[0]);
    p[0] = -1;
    show("no reader", p);
    p[1] = 900;
    show("bad descriptor", p);
}

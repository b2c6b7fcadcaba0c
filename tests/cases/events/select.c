// select: sets are rewritten, the time that is left is written, bad descriptors, exceptional conditions.
#include "../case.h"
#include <sys/select.h>
int main(void) {
    int p[2], q[2];
    MUST(pipe(p)), MUST(pipe(q));
    write(p[1], "x", 1);
    fd_set r, w, x;
    FD_ZERO(&r); FD_ZERO(&w); FD_ZERO(&x);
    FD_SET(p[0], &r), FD_SET(q[0], &r), FD_SET(q[1], &w), FD_SET(p[0], &x);
    NUM(select(q[1] + 1, &r, &w, &x, NULL));
    say("%d %d %d %d", FD_ISSET(p[0], &r) != 0, FD_ISSET(q[0], &r) != 0, FD_ISSET(q[1], &w) != 0, FD_ISSET(p[0], &x) != 0);
    FD_ZERO(&r); FD_SET(q[0], &r);
    struct timeval t = {0, 30000};
    int64_t start = now_ms();
    NUM(select(q[0] + 1, &r, NULL, NULL, &t));
    IS(now_ms() - start >= 29);
    say("%d, left %ld", FD_ISSET(q[0], &r) != 0, (long)(t.tv_sec + t.tv_usec));
    t = (struct timeval){5, 0};
    FD_SET(p[0], &r);
    NUM(select(q[1] + 1, &r, NULL, NULL, &t));
    IS(t.tv_sec == 4 && t.tv_usec > 500000);
    FD_ZERO(&r); FD_SET(500, &r);
    NUM(select(501, &r, NULL, NULL, &t));
    NUM(select(-1, NULL, NULL, NULL, &t));
    t.tv_usec = -1;
    NUM(select(0, NULL, NULL, NULL, &t));
    t = (struct timeval){0, 5000000};
    FD_ZERO(&r); FD_SET(p[0], &r);
    NUM(select(p[0] + 1, &r, NULL, NULL, &t));
    NUM(select(0, NULL, NULL, NULL, &(struct timeval){0, 1000}));
    close(q[0]);
    FD_ZERO(&w); FD_SET(q[1], &w);
    NUM(select(q[1] + 1, NULL, &w, NULL, NULL));
    close(p[1]);
    char c;
    read(p[0], &c, 1);
    FD_ZERO(&r); FD_SET(p[0], &r);
    NUM(select(p[0] + 1, &r, NULL, NULL, NULL));
}

// poll: negative descriptors, counts, zero entries, time-outs, only revents is written.
#include "../case.h"
int main(void) {
    int p[2];
    MUST(pipe(p));
    struct pollfd w[4] = {{-1, POLLIN, 77}, {p[0], POLLIN, 77}, {p[1], POLLOUT, 77}, {900, POLLIN, 77}};
    NUM(poll(w, 4, -1));
    say("%d %d %d %d", w[0].revents, w[1].revents, w[2].revents, w[3].revents);
    IS(w[0].fd == -1 && w[1].events == POLLIN && w[3].fd == 900);
    int64_t start = now_ms();
    NUM(poll(NULL, 0, 30));
    IS(now_ms() - start >= 29);
    NUM(poll(w + 1, 1, 10));
    NUM(poll((void *)8, 1, 0)), NUM(poll(w, 1 << 30, 0));
    scratch();
    put("f", "x");
    struct pollfd file = {MUST(open("f", O_RDWR)), POLLIN | POLLOUT | POLLPRI};
    NUM(poll(&file, 1, 0)), NUM(file.revents);
    struct pollfd dir = {MUST(open(".", O_RDONLY)), POLLIN | POLLOUT};
    NUM(poll(&dir, 1, 0)), NUM(dir.revents);
    w[1].events = 0;
    write(p[1], "x", 1);
    NUM(poll(w + 1, 1, 0));
    close(p[1]);
    NUM(poll(w + 1, 1, 0)), NUM(w[1].revents);
    w[1].events = POLLRDNORM | POLLRDBAND;
    NUM(poll(w + 1, 1, 0)), NUM(w[1].revents);
    struct pollfd same[3] = {{p[0], POLLIN}, {p[0], POLLIN}, {p[0], POLLOUT}};
    NUM(poll(same, 3, 0));
}

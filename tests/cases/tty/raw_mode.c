// Non-canonical mode: VMIN and VTIME decide when a read ends.
#include "../case.h"
#include <termios.h>
static int m, s;
static void set(int min, int time) {
    struct termios t;
    MUST(tcgetattr(s, &t));
    cfmakeraw(&t);
    t.c_cc[VMIN] = min, t.c_cc[VTIME] = time;
    MUST(tcsetattr(s, TCSANOW, &t));
}
int main(void) {
    m = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    grantpt(m), unlockpt(m);
    s = MUST(open(ptsname(m), O_RDWR | O_NOCTTY));
    char b[64];
    set(1, 0);
    write(m, "a\003\004", 3);
    NUM(read(s, b, 64));
    set(0, 0);
    NUM(read(s, b, 64));
    write(m, "xy", 2);
    poll(&(struct pollfd){s, POLLIN}, 1, 1000);
    NUM(read(s, b, 64));
    set(0, 1);
    int64_t start = now_ms();
    NUM(read(s, b, 64));
    IS(now_ms() - start >= 90);
    set(3, 0);
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(read(s, b, 64));
    write(m, "1", 1);
    nap(20);
    write(m, "2", 1);
    nap(20);
    write(m, "3", 1);
    reap("reader of three", pid);
    set(5, 1);
    write(m, "ab", 2);
    start = now_ms();
    NUM(read(s, b, 64));
    IS(now_ms() - start >= 90);
    set(1, 0);
    fcntl(s, F_SETFL, O_NONBLOCK);
    NUM(read(s, b, 64));
    NUM(write(s, "no\ntranslation", 14)), NUM(read(m, b, 64));
    say("%.14s", b);
    struct pollfd w = {s, POLLIN | POLLOUT};
    NUM(poll(&w, 1, 0)), NUM(w.revents);
}

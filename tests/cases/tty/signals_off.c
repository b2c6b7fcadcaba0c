// ISIG, IXON and NOFLSH: when keys are data, output stops and goes on, what a signal key drops.
#include "../case.h"
#include <termios.h>
int main(void) {
    int m = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    grantpt(m), unlockpt(m);
    int s = MUST(open(ptsname(m), O_RDWR | O_NOCTTY));
    struct termios t;
    tcgetattr(s, &t);
    t.c_lflag &= ~(ISIG | ECHO);
    tcsetattr(s, TCSANOW, &t);
    char b[64];
    write(m, "a\003b\n", 4);
    NUM(read(s, b, 64)), NUM(b[1]);
    t.c_lflag |= ISIG;
    tcsetattr(s, TCSANOW, &t);
    write(m, "dropped\003kept\n", 13);
    memset(b, 0, 64);
    NUM(read(s, b, 64));
    say("%.5s", b);
    fcntl(s, F_SETFL, O_NONBLOCK), fcntl(m, F_SETFL, O_NONBLOCK);
    write(m, "\023", 1);
    nap(30);
    struct pollfd w = {s, POLLOUT};
    NUM(poll(&w, 1, 0));
    NUM(write(s, "held", 4));
    NUM(read(m, b, 64));
    write(m, "\021", 1);
    NUM(poll(&w, 1, 500));
    NUM(write(s, "go", 2));
    nap(30);
    NUM(read(m, b, 64));
    t.c_iflag |= INLCR | IGNCR;
    tcsetattr(s, TCSANOW, &t);
    write(m, "x\ry\004", 4);
    memset(b, 0, 64);
    NUM(read(s, b, 64));
    say("%s", b);
}

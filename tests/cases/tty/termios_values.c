// The settings of a new terminal, and how they change; flushing; drain; bad calls.
#include "../case.h"
#include <termios.h>
int main(void) {
    int m = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    grantpt(m), unlockpt(m);
    int s = MUST(open(ptsname(m), O_RDWR | O_NOCTTY));
    struct termios t, u;
    NUM(tcgetattr(s, &t));
    say("%o %o %o %o", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
    for (int i = 0; i < 17; i++)
        say("%d: %d", i, t.c_cc[i]);
    NUM(cfgetospeed(&t));
    cfsetispeed(&t, B9600), cfsetospeed(&t, B9600);
    t.c_cc[VERASE] = 'E';
    NUM(tcsetattr(s, TCSADRAIN, &t)), NUM(tcgetattr(m, &u));
    IS(u.c_cc[VERASE] == 'E' && cfgetospeed(&u) == B9600);
    write(m, "typed\n", 6);
    poll(&(struct pollfd){s, POLLIN}, 1, 1000);
    NUM(tcflush(s, TCIFLUSH));
    int n = -1;
    ioctl(s, FIONREAD, &n);
    NUM(n);
    NUM(tcdrain(s)), NUM(tcsendbreak(s, 0)), NUM(tcflow(s, TCOOFF)), NUM(tcflow(s, TCOON)), NUM(tcflow(s, 9)), NUM(tcflush(s, 9));
    NUM(tcgetattr(MUST(open("/dev/null", O_RDWR)), &t)), NUM(isatty(900));
    NUM(tcgetpgrp(s)), NUM(tcsetpgrp(s, getpgrp())), NUM(tcgetsid(s));
}

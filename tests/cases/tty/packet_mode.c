// TIOCPKT tells of flushes and stops; TIOCSTI and TIOCOUTQ; many terminals at once.
#include "../case.h"
#include <termios.h>
int main(void) {
    int m = MUST(posix_openpt(O_RDWR | O_NOCTTY)), one = 1;
    grantpt(m), unlockpt(m);
    int s = MUST(open(ptsname(m), O_RDWR | O_NOCTTY));
    NUM(ioctl(m, TIOCPKT, &one));
    char b[64] = "";
    write(s, "data", 4);
    NUM(read(m, b, 64));
    say("%d %.4s", b[0], b + 1);
    tcflush(s, TCIFLUSH);
    NUM(read(m, b, 64)), NUM(b[0] & TIOCPKT_FLUSHREAD);
    int zero = 0;
    NUM(ioctl(m, TIOCPKT, &zero));
    int n = -1;
    NUM(ioctl(m, TIOCGPTN, &n));
    char name[64];
    sprintf(name, "/dev/pts/%d", n);
    IS(!strcmp(name, ptsname(m)));
    int peer = TRY(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    NUM(write(peer, "via peer", 8)), NUM(read(m, b, 64));
    int lock = -1;
    NUM(ioctl(m, TIOCGPTLCK, &lock)), NUM(lock);
    int ms[20], different = 0;
    for (int i = 0; i < 20; i++)
        ms[i] = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    for (int i = 1; i < 20; i++) {
        int x, y;
        ioctl(ms[i], TIOCGPTN, &x), ioctl(ms[i - 1], TIOCGPTN, &y);
        different += x != y;
    }
    NUM(different);
    TRY(open(ptsname(ms[3]), O_RDWR | O_NOCTTY));
}

// A pseudo-terminal: names, sizes, echo, line input, end of file, hang-up.
#include "../case.h"
#include <termios.h>
int main(void) {
    int m = TRY(posix_openpt(O_RDWR | O_NOCTTY));
    NUM(grantpt(m)), NUM(unlockpt(m));
    char *name = ptsname(m);
    IS(name && !strncmp(name, "/dev/pts/", 9));
    int s = TRY(open(name, O_RDWR | O_NOCTTY));
    NUM(isatty(s)), NUM(isatty(m));
    struct stat st;
    fstat(s, &st);
    say("%o %d", st.st_mode & S_IFMT, major(st.st_rdev));
    IS(!strcmp(ttyname(s), name));
    struct winsize z = {24, 80}, y = {0};
    NUM(ioctl(m, TIOCSWINSZ, &z)), NUM(ioctl(s, TIOCGWINSZ, &y));
    say("%d %d", y.ws_row, y.ws_col);
    char b[64] = "";
    NUM(write(m, "line\n", 5)), NUM(read(s, b, 64));
    say("[%.5s]", b);
    memset(b, 0, 64);
    NUM(read(m, b, 64));
    IS(!strcmp(b, "line\r\n"));
    NUM(write(s, "out\n", 4));
    memset(b, 0, 64);
    NUM(read(m, b, 64));
    IS(!strcmp(b, "out\r\n"));
    write(m, "\4", 1);
    NUM(read(s, b, 64));
    write(m, "ab\4", 3);
    NUM(read(s, b, 64));
    int n = -1;
    write(m, "pending\n", 8);
    poll(&(struct pollfd){s, POLLIN}, 1, 1000);
    NUM(ioctl(s, FIONREAD, &n)), NUM(n);
    NUM(read(s, b, 3)), NUM(read(s, b, 64));
    close(s);
    while (read(m, b, 64) > 0)
        ;
    say("%s", errname(errno));
    s = TRY(open(name, O_RDWR | O_NOCTTY));
    close(m);
    NUM(read(s, b, 1)), NUM(write(s, "x", 1));
    TRY(open(name, O_RDWR | O_NOCTTY));
}

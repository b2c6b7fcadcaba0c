// Canonical mode: erase, kill, word erase, literal next, case of control characters in the echo.
#include "../case.h"
#include <termios.h>
static int m, s;
static void type(const char *text) {
    char b[256] = "", shown[600] = "";
    write(m, text, strlen(text));
    ssize_t n = read(s, b, 255);
    char line[300] = "";
    for (int i = 0; i < n; i++)
        sprintf(line + strlen(line), b[i] < 32 || b[i] == 127 ? "\\%d" : "%c", b[i]);
    n = read(m, b, 255);
    for (int i = 0; i < n; i++)
        sprintf(shown + strlen(shown), b[i] < 32 || b[i] == 127 ? "\\%d" : "%c", b[i]);
    say("read [%s] shown [%s]", line, shown);
}
int main(void) {
    m = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    grantpt(m), unlockpt(m);
    s = MUST(open(ptsname(m), O_RDWR | O_NOCTTY));
    type("abc\177\177x\n");
    type("wrong\025right\n");
    type("two words\027last\n");
    type("lit\026\003eral\n");
    type("tab\there\n");
    type("ctrl-\001-a\n");
    type("\177\177empty\n");
    type("carriage\r");
    struct termios t;
    tcgetattr(s, &t);
    t.c_lflag &= ~ECHO;
    tcsetattr(s, TCSANOW, &t);
    write(m, "quiet\n", 6);
    char b[64] = "";
    NUM(read(s, b, 64));
    fcntl(m, F_SETFL, O_NONBLOCK);
    NUM(read(m, b, 64));
    t.c_lflag |= ECHO;
    t.c_lflag &= ~ECHOCTL, t.c_iflag &= ~ICRNL, t.c_oflag &= ~OPOST;
    tcsetattr(s, TCSANOW, &t);
    type("raw out\001\n");
}

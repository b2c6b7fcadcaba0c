// Real, effective, saved and file-system ids: every setter's rules.
#include "../case.h"
#include <sys/fsuid.h>
static void show(const char *what) {
    uid_t r, e, s;
    gid_t a, b, c;
    getresuid(&r, &e, &s), getresgid(&a, &b, &c);
    say("%s: %d %d %d / %d %d %d fs %d %d", what, r, e, s, a, b, c, setfsuid(-1), setfsgid(-1));
}
int main(void) {
    show("start");
    NUM(setresgid(10, 20, 30)), NUM(setegid(10)), show("setegid as root");
    NUM(setgid(40)), show("setgid as root");
    NUM(setregid(-1, 50)), show("setregid");
    NUM(setresuid(100, 200, 300)), show("setresuid");
    NUM(setuid(150)), NUM(seteuid(100)), show("seteuid to real");
    NUM(seteuid(300)), show("seteuid to saved"), NUM(seteuid(200));
    NUM(setreuid(300, -1)), NUM(setreuid(100, 300)), show("setreuid");
    NUM(setuid(100)), show("setuid"), NUM(setresuid(-1, -1, -1)), NUM(setresuid(300, -1, -1)), show("swap");
    NUM(setresuid(7, 7, 7)), NUM(setgid(0)), NUM(seteuid(0));
    NUM(setfsuid(77)), NUM(setfsuid(-1));
    NUM(setresuid(100, 100, 100)), NUM(setresuid(300, 300, 300)), show("end");
}

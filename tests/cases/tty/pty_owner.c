// The node of a terminal keeps what chown and chmod give it, for as long as the terminal lives.
#include "../case.h"
int main(void) {
    int master = MUST(posix_openpt(O_RDWR | O_NOCTTY));
    NUM(grantpt(master));
    NUM(unlockpt(master));
    const char *name = ptsname(master);
    struct stat s;
    NUM(chmod(name, 0600));
    NUM(stat(name, &s));
    say("mode %o", s.st_mode & 07777);
    NUM(chown(name, getuid(), getgid()));
    if (getuid() == 0) {
        NUM(chown(name, 1234, 5));
        NUM(stat(name, &s));
        say("owner %d %d", s.st_uid, s.st_gid);
        int slave = MUST(open(name, O_RDWR | O_NOCTTY));
        NUM(fchown(slave, 0, 0));
        NUM(fchmod(slave, 0622));
        NUM(fstat(slave, &s));
        say("owner %d %d mode %o", s.st_uid, s.st_gid, s.st_mode & 07777);
    }
    NUM(chmod("/proc/self/status", 0777));
}

// A set-user-ID program gets its owner's effective and saved ids, AT_SECURE, and loses dumpability.
#include "../case.h"
#include <sys/auxv.h>
#include <sys/prctl.h>
int main(int argc, char **argv) {
    if (argc > 1) {
        uid_t r, e, s;
        gid_t a, b, c;
        getresuid(&r, &e, &s), getresgid(&a, &b, &c);
        say("%d %d %d / %d %d %d", r, e, s, a, b, c);
        NUM(getauxval(AT_SECURE)), NUM(getauxval(AT_EUID)), NUM(prctl(PR_GET_DUMPABLE) == 1);
        return 0;
    }
    scratch();
    MUST(chmod(".", 0755));
    int in = MUST(open("/proc/self/exe", O_RDONLY)), out = MUST(open("copy", O_WRONLY | O_CREAT, 0755));
    static char buffer[1 << 16];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        MUST(write(out, buffer, n));
    close(out);
    MUST(chown("copy", 2000, 3000)), MUST(chmod("copy", 06755));
    for (int i = 0; i < 2; i++) {
        pid_t pid = MUST(fork());
        if (!pid) {
            if (i)
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if (setresgid(100, 100, 100) || setresuid(100, 100, 100))
                _exit(9);
            execl("./copy", "x", "y", NULL);
            say("%s", errname(errno));
            _exit(1);
        }
        reap(i ? "no new privileges" : "set-id", pid);
    }
}

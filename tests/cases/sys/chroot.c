// chroot: the new root holds for absolute paths and links, and dot-dot stops there; needs the right.
#include "../case.h"
int main(void) {
    scratch();
    MUST(mkdir("jail", 0755)), MUST(mkdir("jail/in", 0755)), put("jail/file", "inside"), put("file", "outside");
    MUST(symlink("/file", "jail/link"));
    pid_t pid = MUST(fork());
    if (!pid) {
        NUM(chroot("jail"));
        say("%s", get("jail/file"));
        NUM(chdir("/"));
        say("%s %s %s", get("/file"), get("link"), get("../../../file"));
        char cwd[100];
        NUM(syscall(SYS_getcwd, cwd, 100));
        say("%s", cwd);
        NUM(access("/proc", F_OK));
        NUM(chdir("in")), NUM(chdir(".."));
        say("%s", getcwd(cwd, 100));
        _exit(0);
    }
    reap("in the jail", pid);
    MUST(chmod(".", 0755));
    if (setuid(1000))
        return 9;
    NUM(chroot("jail"));
}

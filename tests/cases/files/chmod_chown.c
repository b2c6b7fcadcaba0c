// chmod and chown, on links and descriptors; set-id bits fall when they must.
#include "../case.h"
static void show(const char *path) {
    struct stat s;
    MUST(lstat(path, &s));
    say("%s: %o %d:%d", path, s.st_mode, s.st_uid, s.st_gid);
}
int main(void) {
    scratch();
    MUST(chmod(".", 0777));
    put("f", ""), MUST(symlink("f", "l")), MUST(mkdir("d", 0755));
    NUM(chmod("f", 07777)), show("f");
    NUM(chmod("l", 06755)), show("f");
    NUM(chown("f", 12, 34)), show("f");
    NUM(chmod("f", 06755)), NUM(chown("f", -1, 35)), show("f");
    NUM(chmod("f", 02745)), NUM(chown("f", 13, -1)), show("f");
    NUM(lchown("l", 7, 8)), show("l"), show("f");
    NUM(chmod("f", 04755));
    int fd = MUST(open("f", O_WRONLY));
    NUM(write(fd, "x", 1)), show("f");
    pid_t pid = MUST(fork());
    if (!pid) {
        MUST(chmod("f", 06777));
        if (setuid(99))
            _exit(9);
        int own = open("f", O_WRONLY);
        NUM(write(own, "x", 1));
        show("f");
        _exit(0);
    }
    reap("other user", pid);
    NUM(fchmod(fd, 0123)), show("f");
    NUM(fchown(fd, 1, 2)), show("f");
    NUM(fchownat(fd, "", 3, 4, AT_EMPTY_PATH)), show("f");
    NUM(fchownat(AT_FDCWD, "l", 5, 6, AT_SYMLINK_NOFOLLOW)), show("l");
    NUM(chmod("missing", 0)), NUM(chown("missing", 0, 0)), NUM(fchmod(900, 0));
    NUM(chmod("d", 01777)), show("d");
}

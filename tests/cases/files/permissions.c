// Owner, group and others: each class by its own bits, for files and directories, with sticky and set-gid.
#include "../case.h"
#include <grp.h>
static void as(int uid, int gid, const char *what) {
    pid_t pid = MUST(fork());
    if (!pid) {
        gid_t groups[1] = {500};
        setgroups(1, groups);
        if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
            _exit(9);
        char line[64] = "";
        const char *files[] = {"owner", "group", "other", "extra"};
        for (int i = 0; i < 4; i++) {
            int r = open(files[i], O_RDONLY), w = open(files[i], O_WRONLY);
            strcat(line, r >= 0 ? "r" : "-"), strcat(line, w >= 0 ? "w " : "- ");
        }
        say("%s: %s", what, line);
        say("%s: sticky %s", what, unlink("sticky/f") ? errname(errno) : "ok");
        say("%s: private %s", what, open("private/f", O_RDONLY) < 0 ? errname(errno) : "ok");
        say("%s: list %s", what, open("private", O_RDONLY) < 0 ? errname(errno) : "ok");
        say("%s: chmod %s", what, chmod("owner", 0666) ? errname(errno) : "ok");
        say("%s: chown %s", what, chown("owner", uid, gid) ? errname(errno) : "ok");
        say("%s: utimes %s", what, utimensat(AT_FDCWD, "other", NULL, 0) ? errname(errno) : "ok");
        _exit(0);
    }
    reap(what, pid);
}
int main(void) {
    scratch();
    MUST(chmod(".", 0755));
    umask(0);
    const char *files[] = {"owner", "group", "other", "extra"};
    int modes[] = {0600, 0060, 0006, 0040};
    for (int i = 0; i < 4; i++) {
        put(files[i], "");
        MUST(chmod(files[i], modes[i]));
        MUST(chown(files[i], 1000, i == 3 ? 500 : 100));
    }
    MUST(mkdir("sticky", 01777)), put("sticky/f", ""), MUST(chown("sticky/f", 1000, 100));
    MUST(mkdir("private", 0711)), put("private/f", "");
    as(2000, 200, "stranger");
    as(2000, 100, "member");
    as(1000, 100, "owner");
    MUST(mkdir("shared", 0777)), MUST(chown("shared", 0, 300)), MUST(chmod("shared", 02777));
    put("shared/f", ""), MUST(mkdir("shared/d", 0755));
    struct stat s;
    stat("shared/f", &s);
    NUM(s.st_gid);
    stat("shared/d", &s);
    say("%d %o", s.st_gid, s.st_mode);
}

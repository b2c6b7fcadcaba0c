// Symbolic links: resolution, readlink, trailing slashes, depth, permissions.
#include "../case.h"
int main(void) {
    scratch();
    MUST(mkdir("d", 0755)), put("d/f", "text");
    NUM(symlink("d", "l"));
    say("%s", get("l/f"));
    char target[64];
    memset(target, 'z', 64);
    NUM(readlink("l", target, 64));
    say("%.2s", target);
    NUM(symlink("a-long-target-name", "m"));
    NUM(readlink("m", target, 5));
    say("%.6s", target);
    NUM(readlink("d", target, 5));
    NUM(readlink("m", target, 0));
    NUM(symlink("x", "l"));
    NUM(symlink("", "e"));
    struct stat s;
    NUM(lstat("l/", &s));
    IS(S_ISDIR(s.st_mode));
    NUM(lstat("l", &s));
    say("%o %ld", s.st_mode, (long)s.st_size);
    NUM(rmdir("l"));
    NUM(unlink("l/"));
    NUM(mkdir("l", 0700));
    NUM(mkdir("m", 0700));
    NUM(chdir("l"));
    char cwd[4096];
    getcwd(cwd, sizeof cwd);
    say("%s", strrchr(cwd, '/'));
    MUST(chdir(".."));
    char name[16], to[16];
    MUST(symlink("d", "c0"));
    for (int i = 1; i <= 45; i++) {
        sprintf(name, "c%d", i), sprintf(to, "c%d", i - 1);
        MUST(symlink(to, name));
    }
    NUM(access("c39/f", F_OK));
    NUM(access("c40/f", F_OK));
    NUM(access("c45/f", F_OK));
    int fd = MUST(open("m", O_PATH | O_NOFOLLOW));
    NUM(readlinkat(fd, "", target, 64));
    NUM(fchmodat(AT_FDCWD, "m", 0600, AT_SYMLINK_NOFOLLOW));
    NUM(chmod("m", 0600));
}

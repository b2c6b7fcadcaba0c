// Hard links: counts, same inode, across directories, to links; unlinked files live while open.
#include "../case.h"
int main(void) {
    scratch();
    put("a", "text");
    MUST(mkdir("d", 0755));
    struct stat a, b;
    NUM(link("a", "d/b"));
    stat("a", &a), stat("d/b", &b);
    IS(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    NUM(b.st_nlink);
    NUM(link("a", "d/b"));
    NUM(link("d", "e"));
    NUM(link("missing", "e"));
    NUM(link("a", "no/such"));
    MUST(symlink("a", "s"));
    NUM(link("s", "s2"));
    lstat("s2", &a);
    IS(S_ISLNK(a.st_mode));
    NUM(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
    lstat("s3", &a);
    IS(S_ISREG(a.st_mode));
    int fd = MUST(open("d/b", O_RDWR));
    NUM(unlink("a")), NUM(unlink("d/b")), NUM(unlink("s3"));
    fstat(fd, &a);
    NUM(a.st_nlink);
    char text[8] = "";
    NUM(read(fd, text, 8));
    NUM(write(fd, " more", 5));
    fstat(fd, &a);
    NUM(a.st_size);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    NUM(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
    NUM(unlink("d"));
    NUM(unlink("missing"));
    NUM(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    NUM(unlinkat(AT_FDCWD, "s", AT_REMOVEDIR));
    NUM(unlinkat(AT_FDCWD, "s", 0x8000));
}

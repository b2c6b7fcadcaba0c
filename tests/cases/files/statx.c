// statx agrees with stat, answers what was asked, and refuses bad flags.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "12345");
    MUST(symlink("f", "l"));
    struct statx x;
    struct stat s;
    MUST(stat("f", &s));
    NUM(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
    IS((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    IS((x.stx_mask & STATX_BTIME) != 0);
    IS(x.stx_ino == s.st_ino && x.stx_size == 5 && x.stx_mode == s.st_mode && x.stx_nlink == 1);
    IS(x.stx_mtime.tv_sec == s.st_mtim.tv_sec && x.stx_mtime.tv_nsec == s.st_mtim.tv_nsec);
    IS(makedev(x.stx_dev_major, x.stx_dev_minor) == s.st_dev);
    IS(x.stx_btime.tv_sec > 0);
    NUM(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x));
    IS(S_ISLNK(x.stx_mode));
    int fd = MUST(open("f", O_RDONLY));
    NUM(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x));
    NUM(x.stx_size);
    NUM(statx(fd, "", 0, STATX_SIZE, &x));
    NUM(statx(AT_FDCWD, "f", 0x40000000, STATX_SIZE, &x));
    NUM(statx(AT_FDCWD, "f", 0, 0x80000000, &x));
    NUM(statx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, 0, &x));
    NUM(statx(AT_FDCWD, "missing", 0, 0, &x));
    NUM(statx(AT_FDCWD, "f", 0, 0, (void *)8));
    NUM(statx(AT_FDCWD, "/proc/self", 0, STATX_MNT_ID, &x));
    IS((x.stx_mask & STATX_MNT_ID) != 0);
}

// stat: types, modes, sizes, blocks, link counts, times that move as they should.
#include "../case.h"
static bool newer(struct timespec a, struct timespec b) { return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec); }
int main(void) {
    scratch();
    struct stat a, b;
    put("f", "12345");
    MUST(stat("f", &a));
    say("%o %ld links %ld uid %d gid %d", a.st_mode, (long)a.st_size, (long)a.st_nlink, a.st_uid == geteuid(), a.st_gid == getegid());
    IS(a.st_blksize == 4096);
    NUM(a.st_blocks);
    nap(15);
    put("g", "");
    MUST(chmod("f", 0600));
    stat("f", &b);
    IS(newer(b.st_ctim, a.st_ctim) && !newer(b.st_mtim, a.st_mtim));
    nap(15);
    int fd = MUST(open("f", O_RDWR));
    write(fd, "x", 1);
    stat("f", &a);
    IS(newer(a.st_mtim, b.st_mtim) && newer(a.st_ctim, b.st_ctim));
    nap(15);
    MUST(mkdir("d", 0751));
    stat("d", &a);
    say("%o links %ld", a.st_mode, (long)a.st_nlink);
    nap(15);
    put("d/x", "");
    stat("d", &b);
    IS(newer(b.st_mtim, a.st_mtim));
    nap(15);
    unlink("d/x");
    stat("d", &a);
    IS(newer(a.st_mtim, b.st_mtim));
    MUST(mkdir("d/e", 0755));
    stat("d", &a);
    say("links %ld", (long)a.st_nlink);
    MUST(rmdir("d/e"));
    stat("d", &a);
    say("links %ld", (long)a.st_nlink);
    stat("/dev/null", &a);
    say("%o %lx", a.st_mode & S_IFMT, (long)a.st_rdev);
    int p[2];
    MUST(pipe(p));
    fstat(p[0], &a);
    say("%o links %ld", a.st_mode, (long)a.st_nlink);
    fstat(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), &a);
    say("%o", a.st_mode);
    NUM(stat("missing", &a)), NUM(stat("f/x", &a)), NUM(fstat(900, &a)), NUM(stat("", &a));
    NUM(fstatat(fd, "", &a, AT_EMPTY_PATH));
    NUM(fstatat(AT_FDCWD, "", &a, 0));
    NUM(fstatat(AT_FDCWD, "f", &a, 0x20000));
}

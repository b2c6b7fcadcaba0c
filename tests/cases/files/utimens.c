// utimensat: exact times, now, omit, links, bad values; futimens; utime.
#include "../case.h"
#include <utime.h>
static void show(const char *path) {
    struct stat s;
    MUST(lstat(path, &s));
    say("%ld.%09ld %ld.%09ld", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
}
int main(void) {
    scratch();
    put("f", "");
    MUST(symlink("f", "l"));
    struct timespec t[2] = {{1000, 123456789}, {2000, 987654321}};
    NUM(utimensat(AT_FDCWD, "f", t, 0));
    show("f");
    t[0].tv_nsec = UTIME_OMIT, t[1].tv_sec = 3000;
    NUM(utimensat(AT_FDCWD, "f", t, 0));
    show("f");
    t[0].tv_nsec = 5, t[1].tv_nsec = 6;
    NUM(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
    show("l"), show("f");
    t[1].tv_nsec = UTIME_NOW;
    NUM(utimensat(AT_FDCWD, "f", t, 0));
    struct stat s;
    stat("f", &s);
    IS(labs(s.st_mtim.tv_sec - time(NULL)) < 3);
    NUM(s.st_atim.tv_sec);
    t[0].tv_nsec = 2000000000;
    NUM(utimensat(AT_FDCWD, "f", t, 0));
    NUM(utimensat(AT_FDCWD, "missing", NULL, 0));
    NUM(utimensat(AT_FDCWD, "f", NULL, 0x8000));
    int fd = MUST(open("f", O_RDONLY));
    t[0] = (struct timespec){-5, 7}, t[1] = (struct timespec){4000000000L, 8};
    NUM(futimens(fd, t));
    show("f");
    NUM(futimens(900, t));
    struct utimbuf u = {11, 22};
    NUM(utime("f", &u));
    show("f");
    struct timeval v[2] = {{33, 44}, {55, 66}};
    NUM(utimes("f", v));
    show("f");
    v[0].tv_usec = 2000000;
    NUM(utimes("f", v));
}

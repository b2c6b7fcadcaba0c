// utimensat(2) and its relatives; which calls move which time is with each call.
#include "posix.h"

static int set(const char *path, long atime, long mtime, int flags) {
    struct timespec times[2] = {{atime, 123456789}, {mtime, 987654321}};
    return utimensat(AT_FDCWD, path, times, flags);
}

static int special(const char *path, long atime, long mtime) {
    struct timespec times[2] = {{5, atime}, {5, mtime}};
    return utimensat(AT_FDCWD, path, times, 0);
}

#define STAMP(path)                                                                                                \
    ({                                                                                                             \
        struct stat s_ = look(path);                                                                               \
        say("%s: %ld.%09ld %ld.%09ld", path, (long)s_.st_atim.tv_sec, s_.st_atim.tv_nsec, (long)s_.st_mtim.tv_sec, \
            s_.st_mtim.tv_nsec);                                                                                   \
    })

CASE(sets_both) {
    NUM(set("file", 1000, 2000, 0)), STAMP("file");
    NUM(set("dir", 3000, 4000, 0)), STAMP("dir");
    NUM(set("fifo", 1, 2, 0)), STAMP("fifo");
    NUM(set("file", 0, 0, 0)), STAMP("file");
    NUM(set("file", 4000000000, 5000000000, 0)), STAMP("file");
    NUM(set("file", -1000, -2000, 0)), STAMP("file");
}

CASE(links) {
    NUM(set("link", 1000, 2000, 0)), STAMP("file");
    NUM(set("link", 3000, 4000, AT_SYMLINK_NOFOLLOW)), STAMP("link"), STAMP("file");
    NUM(set("dangling", 5, 6, 0)), NUM(set("dangling", 5, 6, AT_SYMLINK_NOFOLLOW)), STAMP("dangling");
    NUM(set("loop1", 5, 6, 0)), NUM(set("hard1", 7, 8, 0)), STAMP("hard2");
}

CASE(omit) {
    NUM(set("file", 1000, 2000, 0));
    NUM(special("file", UTIME_OMIT, UTIME_OMIT)), STAMP("file");
    NUM(special("file", 7, UTIME_OMIT)), STAMP("file");
    NUM(special("file", UTIME_OMIT, 8)), STAMP("file");
    NUM(special("missing", UTIME_OMIT, UTIME_OMIT));
}

CASE(now) {
    NUM(set("file", 1000, 2000, 0));
    NUM(special("file", UTIME_NOW, UTIME_OMIT));
    IS(look("file").st_atim.tv_sec > 1000000 && look("file").st_mtim.tv_sec == 2000);
    NUM(special("file", UTIME_OMIT, UTIME_NOW));
    IS(look("file").st_mtim.tv_sec > 1000000);
    NUM(set("file", 1000, 2000, 0));
    NUM(utimensat(AT_FDCWD, "file", NULL, 0));
    struct stat s = look("file");
    IS(same_time(s.st_atim, s.st_mtim) && same_time(s.st_mtim, s.st_ctim));
    NUM(special("file", UTIME_NOW, UTIME_NOW));
    s = look("file");
    IS(same_time(s.st_atim, s.st_mtim) && same_time(s.st_mtim, s.st_ctim));
}

CASE(by_descriptor) {
    struct timespec times[2] = {{11, 1}, {22, 2}};
    NUM(futimens(MUST(open("file", O_RDONLY)), times)), STAMP("file");
    NUM(utimensat(MUST(open("dir", O_RDONLY)), "a", times, 0)), STAMP("dir/a");
    NUM(futimens(MUST(open("file", O_PATH)), times));
    NUM(utimensat(MUST(open("link", O_PATH | O_NOFOLLOW)), "", times, AT_EMPTY_PATH)), STAMP("link");
    NUM(futimens(999, times)), NUM(utimensat(999, "file", times, 0));
}

CASE(refuses) {
    NUM(special("file", 1000000000, 0)), NUM(special("file", 0, -1)), NUM(special("missing", 0, 0));
    NUM(set("", 1, 1, 0)), NUM(set("file/", 1, 1, 0)), NUM(set("file/x", 1, 1, 0)), NUM(set("file", 1, 1, 0x4000));
    NUM(utimensat(AT_FDCWD, "file", (void *)8, 0)), NUM(utimensat(AT_FDCWD, (char *)8, NULL, 0));
    NUM(set("loop1/x", 1, 1, 0)), NUM(syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0));
    NUM(special("file", UTIME_OMIT, 1000000000)), NUM(special("file", UTIME_NOW, -5));
}

CASE(owner_sets_any_time) {
    need_root();
    MUST(chown("file", 1000, 1000)), MUST(chmod("file", 0));
    AS(1000, 1000) NUM(set("file", 1, 2, 0)), NUM(utimensat(AT_FDCWD, "file", NULL, 0)), NUM(special("file", UTIME_NOW, 5));
    AS(1001, 1001) {
        NUM(set("file", 1, 2, 0)), NUM(utimensat(AT_FDCWD, "file", NULL, 0)), NUM(special("file", UTIME_NOW, 5));
        NUM(special("file", UTIME_OMIT, UTIME_OMIT)), NUM(special("file", UTIME_NOW, UTIME_NOW));
    }
}

CASE(writer_sets_now_only) {
    need_root();
    MUST(chmod("file", 0666));
    AS(1001, 1001) {
        NUM(set("file", 1, 2, 0)), NUM(utimensat(AT_FDCWD, "file", NULL, 0)), NUM(special("file", UTIME_NOW, 5));
        NUM(special("file", UTIME_NOW, UTIME_NOW)), NUM(special("file", UTIME_NOW, UTIME_OMIT));
        NUM(special("file", UTIME_OMIT, UTIME_NOW)), NUM(special("file", UTIME_OMIT, UTIME_OMIT));
    }
}

CASE(moves_ctime) {
    WATCH("file", ".");
    NUM(set("file", 1000000000, 1000000000, 0));
    struct stat s = look("file");
    IS(later(s.st_ctim, watched[0].stat.st_ctim));
    WATCH("file");
    NUM(special("file", UTIME_OMIT, UTIME_OMIT));
    SHOW();
    WATCH("file");
    NUM(special("file", UTIME_OMIT, 0));
    SHOW();
}

CASE(older_calls) {
    struct timeval times[2] = {{100, 5}, {200, 6}};
    NUM(utimes("file", times)), STAMP("file"), NUM(lutimes("link", times)), STAMP("link");
    NUM(futimes(MUST(open("big", O_RDONLY)), times)), STAMP("big");
    times[0].tv_usec = 1000000;
    NUM(utimes("file", times));
    times[0].tv_usec = -1;
    NUM(utimes("file", times)), NUM(utimes("file", NULL));
    IS(look("file").st_mtim.tv_sec > 1000000);
}

CASE(kept_by_a_move) {
    NUM(set("file", 1000, 2000, 0));
    NUM(rename("file", "dir/file")), STAMP("dir/file");
    NUM(link("dir/file", "file")), STAMP("file");
    NUM(chmod("file", 0600)), STAMP("file");
}

CASE(reading_a_folder) {
    need_atime();
    WATCH("dir", "dir/a");
    list("dir");
    SHOW();
    WATCH("dir", "dir/a");
    TRY(open("dir", O_RDONLY));
    NUM(access("dir/a", R_OK));
    SHOW();
}

CASE(mapped_writes) {
    int fd = MUST(open("big", O_RDWR));
    char *map = MUST(mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    struct timespec past[2] = {{1000000000, 0}, {1000000000, 0}};
    MUST(futimens(fd, past));
    map[5000] = 'x';
    NUM(msync(map, 20000, MS_SYNC));
    IS(look("big").st_mtim.tv_sec > 1000000000);
}

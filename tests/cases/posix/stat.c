// stat(2), statx(2), access(2) and getdents(2).
#include "posix.h"

CASE(kinds) {
    const char *paths[] = {"file", "dir", "link", "dangling", "fifo", "hard1", "."};
    for (int i = 0; i < 7; i++)
        say("%s: %o", paths[i], look(paths[i]).st_mode & S_IFMT);
    MODE("file"), MODE("dir"), MODE("link"), MODE("fifo"), MODE("prog");
}

CASE(sizes) {
    SIZE("file"), SIZE("big"), SIZE("link"), SIZE("dangling"), SIZE("fifo"), SIZE("hard1");
    IS(look("dir").st_size > 0 || look("dir").st_size == 0);
    NUM(look("fifo").st_blocks), IS(look("big").st_blksize >= 512);
}

CASE(links) { LINKS("file"), LINKS("hard1"), LINKS("link"), LINKS("dir"), LINKS("empty"), LINKS("dir/sub"); }

CASE(numbers) {
    IS(look("file").st_dev == look("dir/a").st_dev);
    IS(look("hard1").st_ino == look("hard2").st_ino);
    IS(look("file").st_ino != look("big").st_ino);
    IS(look("dir/..").st_ino == look(".").st_ino);
    IS(look("dir/sub/../a").st_ino == look("dir/a").st_ino);
    NUM(look("file").st_rdev), NUM(look("dir").st_rdev);
    ino_t ino = look("file").st_ino;
    put("file", "changed"), MUST(chmod("file", 0600));
    IS(look("file").st_ino == ino);
}

CASE(follow_or_not) {
    struct stat s;
    NUM(stat("link", &s)), IS(S_ISREG(s.st_mode));
    NUM(lstat("link", &s)), IS(S_ISLNK(s.st_mode));
    NUM(stat("dirlink", &s)), IS(S_ISDIR(s.st_mode));
    NUM(lstat("dirlink/", &s)), IS(S_ISDIR(s.st_mode));
    NUM(stat("dangling", &s)), NUM(lstat("dangling", &s)), NUM(stat("loop1", &s)), NUM(lstat("loop1", &s));
    NUM(lstat("link/", &s)), NUM(lstat("dirlink/a", &s)), NUM(lstat("loop1/", &s));
}

CASE(refuses) {
    struct stat s;
    NUM(stat("missing", &s)), NUM(stat("", &s)), NUM(stat("file/", &s)), NUM(stat("file/x", &s)), NUM(stat("file/.", &s));
    NUM(stat("file/..", &s)), NUM(stat("missing/..", &s)), NUM(stat((char *)8, &s)), NUM(fstat(999, &s));
    NUM(fstatat(AT_FDCWD, "file", &s, 0x20)), NUM(fstatat(999, "file", &s, 0)), NUM(fstatat(AT_FDCWD, "", &s, 0));
    NUM(fstatat(AT_FDCWD, "", &s, AT_EMPTY_PATH)), IS(S_ISDIR(s.st_mode));
    NUM(syscall(SYS_newfstatat, AT_FDCWD, "file", 8, 0));
}

CASE(search_rights) {
    need_root();
    struct stat s;
    MUST(chmod("dir", 0744)), MUST(chmod("file", 0));
    AS(1000, 1000) NUM(stat("dir/a", &s)), NUM(stat("dir", &s)), NUM(stat("file", &s)), NUM(stat("dir/missing", &s));
    MUST(chmod("dir", 0711));
    AS(1000, 1000) NUM(stat("dir/a", &s)), NUM(stat("dir/sub/c", &s)), NUM(stat("dir/missing", &s));
}

CASE(statx_fields) {
    struct statx x;
    NUM(statx(AT_FDCWD, "big", 0, STATX_BASIC_STATS, &x));
    IS((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    struct stat s = look("big");
    IS(x.stx_mode == s.st_mode && x.stx_nlink == s.st_nlink && x.stx_size == (uint64_t)s.st_size && x.stx_ino == s.st_ino);
    IS(x.stx_uid == s.st_uid && x.stx_gid == s.st_gid && x.stx_blocks == (uint64_t)s.st_blocks);
    IS(x.stx_mtime.tv_sec == s.st_mtim.tv_sec && x.stx_mtime.tv_nsec == s.st_mtim.tv_nsec);
    IS(makedev(x.stx_dev_major, x.stx_dev_minor) == s.st_dev);
    NUM(statx(AT_FDCWD, "big", AT_STATX_FORCE_SYNC, STATX_SIZE, &x)), NUM(x.stx_size);
}

CASE(statx_refuses) {
    struct statx x;
    NUM(statx(AT_FDCWD, "missing", 0, STATX_ALL, &x)), NUM(statx(AT_FDCWD, "", 0, STATX_ALL, &x));
    NUM(statx(AT_FDCWD, "file", 0x20, STATX_ALL, &x)), NUM(statx(AT_FDCWD, "file", 0x6000, STATX_ALL, &x));
    NUM(statx(AT_FDCWD, "file", 0, 0x80000000, &x)), NUM(statx(999, "file", 0, STATX_ALL, &x));
    NUM(statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x)), IS(S_ISLNK(x.stx_mode));
    NUM(statx(MUST(open("file", O_PATH)), "", AT_EMPTY_PATH, STATX_SIZE, &x)), NUM(x.stx_size);
}

CASE(birth_is_before_changes) {
    struct statx x;
    put("new", "");
    MUST(statx(AT_FDCWD, "new", 0, STATX_BTIME, &x));
    if (!(x.stx_mask & STATX_BTIME))
        lacks("times of birth on the file system of the tests");
    struct stat s = look("new");
    MUST(chmod("new", 0600));
    IS(x.stx_btime.tv_sec <= s.st_mtim.tv_sec && x.stx_btime.tv_sec <= look("new").st_ctim.tv_sec);
}

CASE(access_of_root) {
    need_root();
    MUST(chmod("file", 0));
    NUM(access("file", F_OK)), NUM(access("file", R_OK | W_OK)), NUM(access("file", X_OK)), NUM(access("dir", X_OK));
    MUST(chmod("file", 0001)), MUST(chmod("dir", 0));
    NUM(access("file", X_OK)), NUM(access("dir", R_OK | W_OK | X_OK));
}

CASE(access_of_another) {
    need_root();
    int modes[] = {0, 4, 2, 1, 7, 0770, 0700};
    for (int i = 0; i < 7; i++) {
        MUST(chmod("file", modes[i]));
        say("%o", modes[i]);
        AS(1000, 1000) {
            NUM(access("file", F_OK)), NUM(access("file", R_OK)), NUM(access("file", W_OK)), NUM(access("file", X_OK));
            NUM(access("file", R_OK | W_OK | X_OK));
        }
    }
}

CASE(access_refuses) {
    NUM(access("missing", F_OK)), NUM(access("", F_OK)), NUM(access("file/", F_OK)), NUM(access("file", 8));
    NUM(access("file", -1)), NUM(access("dangling", F_OK)), NUM(access("loop1", F_OK)), NUM(access((char *)8, F_OK));
    NUM(syscall(SYS_faccessat2, AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
    NUM(syscall(SYS_faccessat2, AT_FDCWD, "file", F_OK, 0x4000));
    NUM(syscall(SYS_faccessat2, MUST(open("file", O_PATH)), "", R_OK, AT_EMPTY_PATH));
    NUM(syscall(SYS_faccessat2, 999, "file", F_OK, 0)), NUM(syscall(SYS_faccessat2, AT_FDCWD, "", F_OK, AT_EMPTY_PATH));
}

CASE(access_asks_for_the_real_user) {
    need_root();
    MUST(chmod("file", 0600)), MUST(chmod("dir", 0700));
    CHILD {
        MUST(setresuid(1000, 0, 0));
        NUM(access("file", R_OK)), NUM(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, AT_EACCESS)), NUM(access("dir/a", F_OK));
    }
    CHILD {
        MUST(setresuid(0, 1000, 0));
        NUM(access("file", R_OK)), NUM(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, AT_EACCESS)), NUM(access("dir/a", F_OK));
    }
}

CASE(lists_names) {
    list("."), list("dir"), list("empty"), list("dirlink"), list("missing"), list("file");
}

CASE(lists_after_changes) {
    put("dir/new", ""), MUST(unlink("dir/a")), MUST(rename("dir/b", "dir/d")), MUST(mkdir("dir/e", 0700));
    list("dir");
    MUST(unlink("dir/d")), put("dir/a", ""), MUST(rename("dir/sub", "dir/b")), MUST(symlink("x", "dir/s"));
    list("dir");
}

CASE(list_goes_on_after_changes) {
    char name[32];
    for (int i = 0; i < 100; i++) {
        sprintf(name, "empty/%d", i);
        put(name, "");
    }
    int fd = MUST(open("empty", O_RDONLY));
    static char buffer[1 << 16];
    bool seen[100] = {0};
    int twice = 0, missing = 0;
    for (int round = 0;; round++) {
        long n = syscall(SYS_getdents64, fd, buffer, 400);
        if (n <= 0)
            break;
        for (char *at = buffer; at < buffer + n; at += *(unsigned short *)(at + 16))
            if (isdigit(at[19]))
                twice += seen[atoi(at + 19)], seen[atoi(at + 19)] = true;
        sprintf(name, "empty/x%d", round);
        put(name, "");
        MUST(unlink(name));
    }
    for (int i = 0; i < 100; i++)
        missing += !seen[i];
    NUM(twice), NUM(missing);
}

CASE(list_refuses) {
    static char buffer[4096];
    int fd = MUST(open("dir", O_RDONLY));
    NUM(syscall(SYS_getdents64, fd, buffer, 10)), NUM(syscall(SYS_getdents64, fd, 8, 4096));
    NUM(syscall(SYS_getdents64, MUST(open("file", O_RDONLY)), buffer, 4096)), NUM(syscall(SYS_getdents64, 999, buffer, 4096));
    IS(syscall(SYS_getdents64, fd, buffer, 4096) > 0), NUM(syscall(SYS_getdents64, fd, buffer, 4096));
    NUM(lseek(fd, 0, SEEK_SET)), IS(syscall(SYS_getdents64, fd, buffer, 4096) > 0);
    fd = MUST(open("empty", O_RDONLY)), MUST(rmdir("empty"));
    NUM(syscall(SYS_getdents64, fd, buffer, 4096));
}

CASE(list_numbers_agree) {
    DIR *dir = opendir(".");
    bool agree = true;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".."))
            agree &= entry->d_ino == look(entry->d_name).st_ino;
    IS(agree);
}

// mkdir(2) and rmdir(2).
#include "posix.h"

CASE(makes) {
    NUM(mkdir("new", 0751));
    MODE("new"), LINKS("new"), list("new");
    NUM(mkdir("new/below", 0700));
    NUM(mkdir("dir/new", 0700));
    list("dir"), list("new");
}

CASE(mode_bits) {
    umask(0);
    int modes[] = {0, 0777, 01777, 02777, 04777, 07777, 010777};
    for (int i = 0; i < 7; i++) {
        NUM(mkdir("new", modes[i]));
        MODE("new");
        MUST(rmdir("new"));
    }
}

CASE(exists) {
    NUM(mkdir("file", 0700)), NUM(mkdir("dir", 0700)), NUM(mkdir("link", 0700));
    NUM(mkdir("dangling", 0700)), NUM(mkdir("loop1", 0700)), NUM(mkdir("fifo", 0700));
    NUM(mkdir(".", 0700)), NUM(mkdir("..", 0700)), NUM(mkdir("dir/.", 0700)), NUM(mkdir("dir/..", 0700));
    NUM(mkdir("/", 0700)), NUM(mkdir("file/", 0700)), NUM(mkdir("dangling/", 0700));
    THERE("nowhere");
}

CASE(no_such_place) {
    NUM(mkdir("", 0700)), NUM(mkdir("missing/new", 0700)), NUM(mkdir("file/new", 0700));
    NUM(mkdir("dangling/new", 0700)), NUM(mkdir("loop1/new", 0700)), NUM(mkdir((char *)8, 0700));
    NUM(mkdirat(999, "new", 0700)), NUM(mkdirat(MUST(open("file", O_RDONLY)), "new", 0700));
    NUM(mkdir("missing/.", 0700)), NUM(mkdir("new/.", 0700));
}

CASE(trailing_slashes) {
    NUM(mkdir("new/", 0700)), NUM(mkdir("new2///", 0700)), NUM(mkdir("./new3/", 0700));
    THERE("new"), THERE("new2"), THERE("new3");
}

CASE(through_a_link) {
    NUM(mkdir("dirlink/new", 0700));
    list("dir");
    NUM(mkdirat(MUST(open("dirlink", O_RDONLY)), "new2", 0700));
    list("dir");
}

CASE(links_of_the_parent) {
    LINKS("dir");
    NUM(mkdir("dir/one", 0700)), NUM(mkdir("dir/two", 0700));
    LINKS("dir");
    NUM(rmdir("dir/one"));
    LINKS("dir"), LINKS("dir/two"), LINKS("empty");
}

CASE(rights) {
    need_root();
    MUST(chmod("empty", 0755));
    AS(1000, 1000) NUM(mkdir("empty/new", 0700)), NUM(mkdir("dir", 0700)), NUM(mkdir("empty/../file", 0700));
    MUST(chmod("empty", 0757));
    AS(1000, 1000) NUM(mkdir("empty/new", 0700)), OWNER("empty/new");
    MUST(chmod("empty", 0756));
    AS(1000, 1000) NUM(mkdir("empty/new2", 0700));
}

CASE(times) {
    WATCH(".", "dir", "file");
    NUM(mkdir("dir/new", 0700));
    SHOW();
    WATCH("dir", ".");
    NUM(rmdir("dir/new"));
    SHOW();
    WATCH("dir");
    NUM(mkdir("dir/a", 0700));
    NUM(rmdir("dir/a"));
    SHOW();
}

CASE(new_times_agree) {
    MUST(mkdir("new", 0700));
    struct stat s = look("new");
    IS(same_time(s.st_atim, s.st_mtim) && same_time(s.st_mtim, s.st_ctim));
    IS(!later(s.st_mtim, look(".").st_mtim));
}

CASE(rmdir_removes) {
    NUM(rmdir("empty"));
    THERE("empty");
    NUM(rmdir("empty"));
    MUST(unlink("dir/sub/c"));
    NUM(rmdir("dir/sub/"));
    list("dir"), list(".");
}

CASE(rmdir_refuses) {
    NUM(rmdir("dir")), NUM(rmdir("file")), NUM(rmdir("link")), NUM(rmdir("dirlink")), NUM(rmdir("dangling"));
    NUM(rmdir("missing")), NUM(rmdir("")), NUM(rmdir("file/x")), NUM(rmdir("fifo")), NUM(rmdir("loop1"));
    NUM(rmdir("empty/.")), NUM(rmdir("empty/..")), NUM(rmdir(".")), NUM(rmdir("..")), NUM(rmdir("/"));
    NUM(rmdir("dirlink/")), NUM(rmdir("loop1/x")), NUM(rmdir("missing/"));
    NUM(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR)), NUM(unlinkat(AT_FDCWD, "empty", 0));
    NUM(unlinkat(AT_FDCWD, "empty", 1)), NUM(unlinkat(999, "empty", AT_REMOVEDIR));
    THERE("empty");
}

CASE(rmdir_rights) {
    need_root();
    MUST(mkdir("dir/mine", 0755)), MUST(chown("dir/mine", 1000, 1000));
    AS(1000, 1000) NUM(rmdir("dir/mine"));
    MUST(chmod("dir", 0777));
    AS(1001, 1001) NUM(rmdir("dir/mine")), NUM(rmdir("dir/sub"));
}

CASE(removed_but_open) {
    int fd = MUST(open("empty", O_RDONLY));
    NUM(rmdir("empty"));
    struct stat s;
    MUST(fstat(fd, &s));
    IS(S_ISDIR(s.st_mode));
    TRY(openat(fd, "new", O_CREAT | O_WRONLY, 0600));
    NUM(mkdirat(fd, "new", 0700)), NUM(symlinkat("x", fd, "new")), NUM(linkat(AT_FDCWD, "file", fd, "new", 0));
    NUM(mknodat(fd, "new", S_IFIFO | 0600, 0));
    NUM(renameat(AT_FDCWD, "file", fd, "new"));
    NUM(faccessat(fd, "missing", F_OK, 0));
    TRY(openat(fd, ".", O_RDONLY));
    TRY(openat(fd, "../file", O_RDONLY));
    NUM(fchmod(fd, 0700));
    TRY(open("empty", O_RDONLY));
}

CASE(removed_working_directory) {
    MUST(chdir("empty"));
    NUM(rmdir("../empty"));
    char name[256];
    IS(getcwd(name, sizeof name) == NULL && errno == ENOENT);
    TRY(open(".", O_RDONLY));
    TRY(open("new", O_CREAT | O_WRONLY, 0600));
    TRY(open("../file", O_RDONLY));
    NUM(chdir("."));
    NUM(chdir(".."));
    NUM(mkdir("empty", 0755));
    THERE("empty");
}

CASE(made_again_is_another) {
    int old = MUST(open("empty", O_RDONLY));
    MUST(rmdir("empty")), MUST(mkdir("empty", 0700));
    put("empty/new", "");
    NUM(faccessat(old, "new", F_OK, 0));
    list("empty");
    struct stat s;
    MUST(fstat(old, &s));
    IS(s.st_ino == look("empty").st_ino);
}

CASE(replaces_what_was_below) {
    MUST(unlink("dir/a")), MUST(unlink("dir/b")), MUST(unlink("dir/sub/c")), MUST(rmdir("dir/sub"));
    NUM(rmdir("dir"));
    NUM(mkdir("dir", 0755));
    list("dir");
    TRY(open("dir/a", O_RDONLY));
    NUM(mkdir("dir/a", 0700));
    NUM(unlink("hard1")), NUM(mkdir("hard1", 0700));
    list(".");
}

CASE(deep) {
    for (int i = 0; i < 60; i++) {
        MUST(mkdir("level", 0700));
        MUST(chdir("level"));
    }
    put("end", "end");
    TEXT("end");
    struct stat s;
    NUM(stat("../../../../level/level/level/../level/level/end", &s));
    for (int i = 0; i < 60; i++) {
        if (!i)
            MUST(unlink("end"));
        MUST(chdir(".."));
        MUST(rmdir("level"));
    }
    THERE("level");
}

// link(2), symlink(2) and readlink(2).
#include "posix.h"

CASE(link_makes_a_name) {
    NUM(link("file", "new"));
    TEXT("new"), LINKS("new"), LINKS("file");
    IS(look("new").st_ino == look("file").st_ino);
    NUM(link("new", "dir/third"));
    LINKS("file");
    put("dir/third", "changed");
    TEXT("file");
}

CASE(link_shares_attributes) {
    NUM(link("file", "new"));
    NUM(chmod("new", 0600));
    MODE("file");
    NUM(truncate("new", 3));
    SIZE("file");
    NUM(unlink("file"));
    TEXT("new"), LINKS("new");
}

CASE(link_refuses) {
    NUM(link("file", "dir")), NUM(link("file", "big")), NUM(link("file", "link")), NUM(link("file", "dangling"));
    NUM(link("dir", "new")), NUM(link("missing", "new")), NUM(link("file", "missing/new"));
    NUM(link("file", "big/new")), NUM(link("big/x", "new")), NUM(link("", "new")), NUM(link("file", ""));
    NUM(link("file", "new/")), NUM(link("file/", "new")), NUM(link("file", "file")), NUM(link("file", "."));
    NUM(link("loop1/x", "new")), NUM(link("dir/", "new")), NUM(link("file", "/proc/new"));
    NUM(linkat(999, "file", AT_FDCWD, "new", 0)), NUM(linkat(AT_FDCWD, "file", 999, "new", 0));
    NUM(linkat(AT_FDCWD, "file", AT_FDCWD, "new", 0x80)), NUM(link("/proc/self/stat", "new"));
    NUM(link((char *)8, "new"));
    list("."), LINKS("file");
}

CASE(link_of_a_symlink) {
    NUM(link("link", "new"));
    IS(S_ISLNK(look("new").st_mode));
    LINKS("link");
    NUM(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
    IS(S_ISREG(look("followed").st_mode));
    LINKS("file");
    NUM(link("dangling", "new2"));
    NUM(linkat(AT_FDCWD, "dangling", AT_FDCWD, "new3", AT_SYMLINK_FOLLOW));
    NUM(linkat(AT_FDCWD, "dirlink", AT_FDCWD, "new3", AT_SYMLINK_FOLLOW));
    NUM(linkat(AT_FDCWD, "loop1", AT_FDCWD, "new3", AT_SYMLINK_FOLLOW));
}

CASE(link_of_a_fifo) {
    NUM(link("fifo", "new"));
    IS(S_ISFIFO(look("new").st_mode));
    int r = MUST(open("fifo", O_RDONLY | O_NONBLOCK)), w = MUST(open("new", O_WRONLY | O_NONBLOCK));
    char c;
    NUM(write(w, "x", 1)), NUM(read(r, &c, 1));
}

CASE(link_by_descriptor) {
    int fd = MUST(open("file", O_RDONLY));
    NUM(linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH));
    LINKS("file");
    NUM(linkat(fd, "", AT_FDCWD, "new2", 0));
    NUM(linkat(MUST(open("dir", O_RDONLY)), "", AT_FDCWD, "new3", AT_EMPTY_PATH));
}

CASE(link_rights) {
    need_root();
    // Whoever owns the file may link it, whatever fs.protected_hardlinks says.
    MUST(chown("file", 1000, 1000)), MUST(chown("dir/a", 1000, 1000));
    MUST(chmod("empty", 0755));
    AS(1000, 1000) NUM(link("file", "empty/new"));
    MUST(chmod("dir", 0766)), MUST(chmod("empty", 0777));
    AS(1000, 1000) NUM(link("dir/a", "empty/new"));
    AS(1000, 1000) NUM(link("file", "empty/new"));
    LINKS("file");
}

CASE(link_times) {
    WATCH("file", "dir", ".");
    NUM(link("file", "dir/new"));
    SHOW();
    WATCH("file", "dir");
    NUM(link("file", "dir/new"));
    SHOW();
}

CASE(symlink_holds_any_text) {
    char text[16] = "";
    NUM(symlink("a//b/../ c", "new"));
    NUM(readlink("new", text, sizeof text));
    say("%s", text);
    SIZE("new"), MODE("new"), LINKS("new");
    NUM(symlink("missing", "new2")), NUM(symlink("new3", "new3"));
    NUM(symlink("file", "dir/up"));
    NUM(open("dir/up", O_RDONLY));
    NUM(symlink("../file", "dir/up2"));
    TEXT("dir/up2");
}

CASE(symlink_ignores_umask) {
    umask(0777);
    NUM(symlink("file", "new"));
    MODE("new");
    TEXT("new");
}

CASE(symlink_refuses) {
    NUM(symlink("x", "file")), NUM(symlink("x", "dir")), NUM(symlink("x", "link")), NUM(symlink("x", "dangling"));
    NUM(symlink("", "new")), NUM(symlink("x", "")), NUM(symlink("x", "missing/new")), NUM(symlink("x", "file/new"));
    NUM(symlink("x", "new/")), NUM(symlink("x", ".")), NUM(symlink("x", "dir/")), NUM(symlink("x", "file/"));
    NUM(symlink("x", "loop1/new")), NUM(symlinkat("x", 999, "new")), NUM(symlink((char *)8, "new"));
    NUM(symlink("x", (char *)8)), NUM(symlinkat("x", MUST(open("file", O_RDONLY)), "new"));
    list(".");
}

CASE(symlink_rights) {
    need_root();
    MUST(chmod("empty", 0755));
    AS(1000, 1000) NUM(symlink("x", "empty/new")), NUM(symlink("x", "file"));
    MUST(chmod("empty", 0777));
    AS(1000, 1000) NUM(symlink("x", "empty/new")), OWNER("empty/new");
}

CASE(symlink_to_a_folder) {
    TEXT("dirlink/a");
    NUM(mkdir("dirlink/new", 0700));
    list("dir");
    NUM(chdir("dirlink"));
    TRY(open("../file", O_RDONLY));
    char name[300] = "";
    IS(getcwd(name, sizeof name) && !strcmp(strrchr(name, '/'), "/dir"));
}

CASE(symlink_chains) {
    char name[32], target[32];
    put("end", "end");
    MUST(symlink("end", "s0"));
    for (int i = 1; i < 60; i++) {
        sprintf(name, "s%d", i), sprintf(target, "s%d", i - 1);
        MUST(symlink(target, name));
    }
    NUM(access("s10", F_OK)), NUM(access("s39", F_OK)), NUM(access("s40", F_OK)), NUM(access("s59", F_OK));
    TRY(open("s39", O_RDONLY));
    TRY(open("s40", O_RDONLY));
    NUM(faccessat(AT_FDCWD, "s59", F_OK, AT_SYMLINK_NOFOLLOW));
}

CASE(symlink_chains_on_the_way) {
    MUST(symlink(".", "here"));
    char path[600] = "";
    for (int i = 0; i < 40; i++)
        strcat(path, "here/");
    strcat(path, "file");
    NUM(access(path, F_OK));
    NUM(access(path + 5, F_OK));
    sprintf(path + strlen(path) - 4, "here/file");
    NUM(access(path, F_OK));
}

CASE(symlink_times) {
    WATCH("file", "dir", ".");
    NUM(symlink("../file", "dir/new"));
    SHOW();
    need_atime();
    WATCH("link", "file");
    char c;
    NUM(readlink("link", &c, 1));
    SHOW();
}

CASE(readlink_cuts_off) {
    char text[16];
    memset(text, '.', 15), text[15] = 0;
    NUM(readlink("dangling", text, 3));
    say("%s", text);
    NUM(readlink("dangling", text, 0));
    NUM(readlink("dangling", text, 7));
    say("%s", text);
}

CASE(readlink_refuses) {
    char text[16];
    NUM(readlink("file", text, 16)), NUM(readlink("dir", text, 16)), NUM(readlink("missing", text, 16));
    NUM(readlink("", text, 16)), NUM(readlink("link/", text, 16)), NUM(readlink("dirlink/", text, 16));
    NUM(readlink("file/x", text, 16)), NUM(readlink("loop1", text, 16)), NUM(readlink("loop1/x", text, 16));
    NUM(readlink("link", (char *)8, 16)), NUM(readlink("fifo", text, 16)), NUM(readlink("dirlink/a", text, 16));
    NUM(readlinkat(999, "link", text, 16)), NUM(readlinkat(MUST(open("file", O_RDONLY)), "", text, 16));
    NUM(readlinkat(MUST(open("dir", O_PATH)), "", text, 16));
}

CASE(readlink_needs_search_only) {
    need_root();
    MUST(symlink("x", "dir/new"));
    char text[16];
    MUST(chmod("dir", 0711));
    AS(1000, 1000) NUM(readlink("dir/new", text, 16));
    MUST(chmod("dir", 0766));
    AS(1000, 1000) NUM(readlink("dir/new", text, 16));
}

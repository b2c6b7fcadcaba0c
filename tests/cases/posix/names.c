// Names and walks: long ones, loops, dots and slashes.
#include "posix.h"

static char *repeat(const char *text, int n) {
    char *all = malloc(strlen(text) * n + 1), *at = all;
    for (int i = 0; i < n; i++)
        at = stpcpy(at, text);
    *at = 0;
    return all;
}

CASE(longest_name) {
    char *longest = repeat("n", 255), *too_long = repeat("n", 256);
    NUM(mkdir(longest, 0700)), NUM(rmdir(longest)), NUM(symlink("x", longest)), NUM(unlink(longest));
    NUM(link("file", longest)), NUM(rename(longest, "new")), NUM(mkfifo(longest, 0600)), NUM(unlink(longest));
    NUM(mkdir(too_long, 0700)), NUM(rmdir(too_long)), NUM(symlink("x", too_long)), NUM(unlink(too_long));
    NUM(link("file", too_long)), NUM(link(too_long, "x")), NUM(rename(too_long, "x")), NUM(rename("file", too_long));
    NUM(mkfifo(too_long, 0600)), NUM(access(too_long, F_OK)), NUM(chmod(too_long, 0600)), NUM(chown(too_long, 0, 0));
    NUM(truncate(too_long, 0)), NUM(open(too_long, O_CREAT | O_WRONLY, 0600)), NUM(chdir(too_long));
    NUM(readlink(too_long, (char[9]){0}, 9)), NUM(utimensat(AT_FDCWD, too_long, NULL, 0));
}

CASE(longest_name_below) {
    char path[600];
    sprintf(path, "dir/%s", repeat("n", 256));
    NUM(access(path, F_OK)), NUM(mkdir(path, 0700));
    sprintf(path, "%s/x", repeat("n", 256));
    NUM(access(path, F_OK));
    sprintf(path, "missing/%s", repeat("n", 256));
    NUM(access(path, F_OK));
    sprintf(path, "file/%s", repeat("n", 256));
    NUM(access(path, F_OK));
}

CASE(longest_path) {
    char *path = malloc(9000);
    sprintf(path, "%sfile", repeat("./", 2045));
    NUM(strlen(path)), NUM(access(path, F_OK));
    sprintf(path, "%s/file", repeat("./", 2045));
    NUM(strlen(path)), NUM(access(path, F_OK));
    sprintf(path, "%sfile", repeat("./", 2046));
    NUM(strlen(path)), NUM(access(path, F_OK)), NUM(open(path, O_RDONLY)), NUM(mkdir(path, 0700)), NUM(unlink(path));
    NUM(rename("file", path)), NUM(symlink("x", path)), NUM(symlink(path, "x")), NUM(link("file", path));
    path[4095] = 0;
    NUM(symlink(path, "new")), SIZE("new");
}

CASE(bytes_in_names) {
    put("a b", "1"), put("\xff\xfe", "2"), put("\n", "3"), put("...", "4"), put("\xc3\xa4", "5"), put("a\\b", "6");
    TEXT("a b"), TEXT("..."), TEXT("\xc3\xa4"), TEXT("a\\b");
    IS(!strcmp(get("\xff\xfe"), "2") && !strcmp(get("\n"), "3"));
    NUM(access("A B", F_OK)), NUM(access("FILE", F_OK));
}

CASE(dots) {
    const char *paths[] = {"dir/./a",       "dir/../file", "./././file", "dir/sub/../../file", "dir/.",   "dir/..",
                           "dirlink/../file", "file/.",      "file/..",    "missing/../file",    "link/.",  "dirlink/.",
                           "dangling/.",    "loop1/.",     "fifo/.",     "../dots/file",      "dir/...", "./"};
    for (int i = 0; i < 18; i++)
        say("%s: %s", paths[i], access(paths[i], F_OK) ? errname(errno) : "ok");
}

CASE(slashes) {
    const char *paths[] = {"dir//a", "dir///sub//c", "file/", "file//", "dir/", "dir//", "link/", "dirlink//", "dangling/",
                           "missing/", "loop1/", "fifo/", ".//file", "dirlink///a"};
    for (int i = 0; i < 14; i++)
        say("%s: %s", paths[i], access(paths[i], F_OK) ? errname(errno) : "ok");
}

CASE(dotdot_after_a_link_is_of_its_target) {
    MUST(mkdir("dir/deep", 0755)), MUST(symlink("dir/sub", "short"));
    IS(look("short/..").st_ino == look("dir").st_ino);
    TEXT("short/../a");
    NUM(mkdir("short/../new", 0700));
    list("dir");
}

CASE(root_has_no_parent) {
    struct stat a, b;
    NUM(stat("/", &a)), NUM(stat("/../..", &b));
    IS(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    NUM(access("/..", F_OK)), NUM(access("//", F_OK));
}

CASE(chdir_calls) {
    NUM(chdir("file")), NUM(chdir("missing")), NUM(chdir("")), NUM(chdir("loop1")), NUM(chdir("dangling"));
    NUM(fchdir(999)), NUM(fchdir(MUST(open("file", O_RDONLY)))), NUM(chdir("dir/sub/..")), TEXT("a");
    NUM(chdir("..")), NUM(chdir("dirlink/sub")), TEXT("c"), NUM(fchdir(MUST(open("..", O_RDONLY)))), TEXT("a");
}

CASE(chdir_rights) {
    need_root();
    MUST(chmod("dir", 0744));
    AS(1000, 1000) NUM(chdir("dir")), NUM(chdir("dir/sub")), NUM(fchdir(MUST(open("dir", O_RDONLY))));
    MUST(chmod("dir", 0711));
    AS(1000, 1000) NUM(chdir("dir")), TEXT("a"), NUM(chdir("sub")), TEXT("c");
}

CASE(chroot_calls) {
    need_root();
    NUM(chroot("file")), NUM(chroot("missing"));
    AS(1000, 1000) NUM(chroot("dir"));
    CHILD {
        NUM(chroot("dir")), NUM(chdir("/"));
        list("/"), TEXT("/a"), NUM(access("/../../file", F_OK)), NUM(access("../file", F_OK));
        NUM(symlink("/sub/c", "abs")), TEXT("abs"), NUM(symlink("../../sub/c", "up")), TEXT("up");
    }
    CHILD {
        MUST(chroot("dir"));
        // The working folder is still outside.
        TEXT("file"), NUM(access("../chroot_calls/file", F_OK)), NUM(access("/file", F_OK));
    }
}

CASE(many_names) {
    char name[64];
    for (int i = 0; i < 1000; i++) {
        sprintf(name, "empty/name-%d", i);
        MUST(link("file", name));
    }
    LINKS("file");
    for (int i = 0; i < 1000; i++) {
        sprintf(name, "empty/name-%d", i);
        MUST(unlink(name));
    }
    LINKS("file"), list("empty");
}

CASE(links_change_between_walks) {
    MUST(symlink("dir/a", "s")), TEXT("s");
    MUST(unlink("s")), MUST(symlink("dir/b", "s")), TEXT("s");
    MUST(rename("dir", "dir2")), TEXT("s"), MUST(symlink("dir2", "dir")), TEXT("s");
    MUST(unlink("dir")), MUST(mkdir("dir", 0700)), TEXT("s"), put("dir/b", "again"), TEXT("s");
}

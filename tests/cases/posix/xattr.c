// Extended attributes of the namespace `user`.
#include "posix.h"

static void need_xattrs(void) {
    if (setxattr("file", "user.probe", "", 0, 0))
        lacks("user.* attributes on the file system of the tests");
    MUST(removexattr("file", "user.probe"));
}

static char value[70000];

CASE(set_and_get) {
    need_xattrs();
    NUM(setxattr("file", "user.one", "value", 5, 0)), NUM(getxattr("file", "user.one", value, 100)), say("%s", value);
    NUM(getxattr("file", "user.one", NULL, 0)), NUM(getxattr("file", "user.one", value, 4)), NUM(getxattr("file", "user.two", value, 9));
    NUM(setxattr("file", "user.one", "", 0, 0)), NUM(getxattr("file", "user.one", value, 100));
    NUM(setxattr("file", "user.bytes", "\0\xff\0", 3, 0)), NUM(getxattr("file", "user.bytes", value, 100));
}

CASE(flags) {
    need_xattrs();
    NUM(setxattr("file", "user.one", "a", 1, XATTR_REPLACE)), NUM(setxattr("file", "user.one", "a", 1, XATTR_CREATE));
    NUM(setxattr("file", "user.one", "b", 1, XATTR_CREATE)), NUM(setxattr("file", "user.one", "c", 1, XATTR_REPLACE));
    NUM(setxattr("file", "user.one", "d", 1, 4)), NUM(setxattr("file", "user.one", "e", 1, XATTR_CREATE | XATTR_REPLACE));
    NUM(getxattr("file", "user.one", value, 100)), say("%.1s", value);
}

CASE(removal) {
    need_xattrs();
    MUST(setxattr("file", "user.one", "a", 1, 0));
    NUM(removexattr("file", "user.one")), NUM(removexattr("file", "user.one")), NUM(getxattr("file", "user.one", value, 1));
    NUM(listxattr("file", NULL, 0));
}

CASE(list_of_names) {
    need_xattrs();
    MUST(setxattr("file", "user.b", "1", 1, 0)), MUST(setxattr("file", "user.a", "2", 1, 0));
    ssize_t n = NUM(listxattr("file", value, 100));
    bool a = false, b = false;
    for (char *at = value; at < value + n; at += strlen(at) + 1)
        a |= !strcmp(at, "user.a"), b |= !strcmp(at, "user.b");
    IS(a && b), NUM(listxattr("file", value, 5)), NUM(listxattr("file", NULL, 0)), NUM(listxattr("big", value, 100));
}

CASE(kinds_of_files) {
    need_xattrs();
    NUM(setxattr("dir", "user.x", "1", 1, 0)), NUM(getxattr("dir", "user.x", value, 10)), NUM(setxattr("link", "user.x", "2", 1, 0));
    NUM(getxattr("file", "user.x", value, 10)), NUM(lsetxattr("link", "user.x", "3", 1, 0)), NUM(lgetxattr("link", "user.x", value, 10));
    NUM(setxattr("fifo", "user.x", "4", 1, 0)), NUM(getxattr("fifo", "user.x", value, 10)), NUM(setxattr("dangling", "user.x", "", 0, 0));
    NUM(lremovexattr("link", "user.x")), NUM(llistxattr("link", value, 10)), NUM(setxattr("loop1", "user.x", "", 0, 0));
}

CASE(hard_links_share) {
    need_xattrs();
    NUM(setxattr("hard1", "user.x", "1", 1, 0)), NUM(getxattr("hard2", "user.x", value, 10));
    NUM(rename("hard1", "dir/hard")), NUM(getxattr("dir/hard", "user.x", value, 10)), NUM(chmod("dir/hard", 0600));
    put("hard2", "changed"), NUM(getxattr("dir/hard", "user.x", value, 10)), put("file", ""), NUM(getxattr("file", "user.x", value, 10));
}

CASE(by_descriptor) {
    need_xattrs();
    int fd = MUST(open("file", O_RDONLY));
    NUM(fsetxattr(fd, "user.x", "1", 1, 0)), NUM(fgetxattr(fd, "user.x", value, 10)), NUM(flistxattr(fd, value, 100));
    NUM(unlink("file")), NUM(fgetxattr(fd, "user.x", value, 10)), NUM(fremovexattr(fd, "user.x")), NUM(fsetxattr(999, "user.x", "", 0, 0));
    NUM(fsetxattr(MUST(open("big", O_PATH)), "user.x", "", 0, 0));
}

CASE(names_that_are_refused) {
    need_xattrs();
    char name[300] = "user.";
    memset(name + 5, 'n', 290);
    name[256] = 0;
    NUM(setxattr("file", name, "", 0, 0)), NUM(getxattr("file", name, value, 1)), NUM(removexattr("file", name));
    name[255] = 0;
    NUM(setxattr("file", name, "x", 1, 0)), NUM(getxattr("file", name, value, 1));
    NUM(setxattr("file", "user.", "", 0, 0)), NUM(setxattr("file", "user", "", 0, 0)), NUM(setxattr("file", "", "", 0, 0));
    NUM(setxattr("file", "nothing.x", "", 0, 0)), NUM(setxattr("file", "plain", "", 0, 0)), NUM(getxattr("file", "nothing.x", value, 1));
}

CASE(values_that_are_refused) {
    need_xattrs();
    NUM(setxattr("file", "user.x", value, 65537, 0)), NUM(setxattr("file", "user.x", (char *)8, 5, 0));
    MUST(setxattr("file", "user.x", "12345", 5, 0));
    NUM(getxattr("file", "user.x", (char *)8, 5)), NUM(setxattr("file", (char *)8, "", 0, 0)), NUM(getxattr("file", "user.x", value, 5));
}

CASE(rights) {
    need_root();
    need_xattrs();
    MUST(setxattr("file", "user.x", "1", 1, 0)), MUST(chmod("file", 0644));
    AS(1000, 1000) {
        NUM(getxattr("file", "user.x", value, 10)), NUM(setxattr("file", "user.x", "2", 1, 0)), NUM(removexattr("file", "user.x"));
        NUM(setxattr("file", "trusted.x", "2", 1, 0)), NUM(getxattr("file", "trusted.x", value, 1)), IS(listxattr("file", value, 100) >= 7);
    }
    MUST(chmod("file", 0622));
    AS(1000, 1000) NUM(getxattr("file", "user.x", value, 10)), NUM(setxattr("file", "user.x", "2", 1, 0));
    MUST(chmod("dir", 01777));
    AS(1000, 1000) NUM(setxattr("dir", "user.x", "2", 1, 0));
}

CASE(times) {
    need_xattrs();
    WATCH("file", ".");
    NUM(setxattr("file", "user.x", "1", 1, 0));
    SHOW();
    WATCH("file");
    NUM(getxattr("file", "user.x", value, 1)), NUM(listxattr("file", value, 100));
    SHOW();
    WATCH("file");
    NUM(removexattr("file", "user.x"));
    SHOW();
}

CASE(refuses) {
    NUM(setxattr("missing", "user.x", "", 0, 0)), NUM(getxattr("missing", "user.x", value, 1)), NUM(listxattr("file/x", value, 1));
    NUM(removexattr("", "user.x")), NUM(setxattr("file/", "user.x", "", 0, 0)), NUM(lgetxattr("loop1/x", "user.x", value, 1));
}

// Extended attributes: set, get, list, remove, flags and sizes; links and descriptors.
#include "../case.h"
#include <sys/xattr.h>
int main(void) {
    scratch();
    put("f", "");
    MUST(symlink("f", "l"));
    char v[64] = "";
    NUM(setxattr("f", "trusted.one", "value", 5, 0));
    NUM(setxattr("f", "trusted.one", "again", 5, XATTR_CREATE));
    NUM(setxattr("f", "trusted.one", "other one", 9, XATTR_REPLACE));
    NUM(setxattr("f", "trusted.two", "x", 1, XATTR_REPLACE));
    NUM(getxattr("f", "trusted.one", v, 64));
    say("%s", v);
    NUM(getxattr("f", "trusted.one", v, 3));
    NUM(getxattr("f", "trusted.one", NULL, 0));
    NUM(getxattr("l", "trusted.one", v, 64));
    NUM(lgetxattr("l", "trusted.one", v, 64));
    NUM(setxattr("l", "trusted.three", "", 0, 0));
    char list[100];
    NUM(listxattr("f", list, 100));
    NUM(listxattr("f", NULL, 0));
    NUM(listxattr("f", list, 5));
    int fd = MUST(open("f", O_RDONLY));
    NUM(fgetxattr(fd, "trusted.three", v, 64));
    NUM(fremovexattr(fd, "trusted.one"));
    NUM(removexattr("f", "trusted.one"));
    NUM(getxattr("f", "trusted.one", v, 64));
    NUM(setxattr("f", "nonsense.one", "x", 1, 0));
    NUM(setxattr("f", "noprefix", "x", 1, 0));
    NUM(setxattr("f", "", "x", 1, 0));
    NUM(setxattr("f", "trusted.x", "x", 1, 9));
    NUM(setxattr("missing", "trusted.x", "x", 1, 0));
    NUM(getxattr("f", "user.none", v, 64));
}

// rename over files, directories and itself; what is refused.
#include "../case.h"
int main(void) {
    scratch();
    put("a", "A"), put("b", "B");
    NUM(rename("a", "b"));
    say("%s %d", get("b"), access("a", F_OK));
    NUM(rename("b", "b"));
    MUST(link("b", "c"));
    NUM(rename("b", "c"));
    NUM(access("b", F_OK) + access("c", F_OK));
    MUST(mkdir("d1", 0755)), MUST(mkdir("d2", 0755)), MUST(mkdir("d3", 0755));
    put("d1/x", "X"), put("d3/y", "Y");
    NUM(rename("d1", "d2"));
    say("%s", get("d2/x"));
    NUM(rename("d2", "d3"));
    NUM(rename("d2", "b"));
    NUM(rename("b", "d2"));
    NUM(rename("d2", "d2/below"));
    NUM(rename("d2/.", "z"));
    NUM(rename("d2/..", "z"));
    NUM(rename("missing", "z"));
    NUM(rename("b", "no/such"));
    NUM(rename("b", "z/"));
    NUM(rename("d2", "z/"));
    say("%s", get("z/x"));
    MUST(symlink("b", "link"));
    NUM(rename("link", "link2"));
    char target[8] = "";
    NUM(readlink("link2", target, 8));
    int fd = MUST(open("b", O_RDONLY));
    put("e", "E");
    NUM(rename("e", "b"));
    char c;
    NUM(read(fd, &c, 1));
    say("%c %s", c, get("b"));
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_nlink);
    NUM(rename("b", ""));
    NUM(rename("z", "d3"));
}

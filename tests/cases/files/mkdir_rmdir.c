// mkdir and rmdir: names, non-empty, dots, links, parents, trailing slashes.
#include "../case.h"
int main(void) {
    scratch();
    NUM(mkdir("d", 0755)), NUM(mkdir("d", 0755)), NUM(mkdir("d/", 0755)), NUM(mkdir("e/", 0755)), NUM(mkdir("x/y", 0755));
    NUM(mkdir("", 0755)), NUM(mkdir(".", 0755)), NUM(mkdir("/", 0755));
    put("f", "");
    NUM(mkdir("f/x", 0755)), NUM(mkdir("f", 0755));
    put("d/f", "");
    NUM(rmdir("d")), NUM(rmdir("f")), NUM(rmdir("e/.")), NUM(rmdir("e/..")), NUM(rmdir("missing")), NUM(rmdir("e/"));
    MUST(mkdir("e", 0755));
    int fd = MUST(open("e", O_RDONLY | O_DIRECTORY));
    NUM(rmdir("e"));
    NUM(openat(fd, "new", O_CREAT | O_WRONLY, 0600));
    NUM(mkdirat(fd, "new", 0600));
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_nlink);
    NUM(mkdirat(900, "x", 0700));
    NUM(rmdir("/"));
    char path[4200] = "";
    for (int i = 0; i < 2090; i++)
        strcat(path, "./");
    NUM(mkdir(path, 0755));
    path[4000] = 0;
    strcat(path, "deep");
    NUM(mkdir(path, 0755));
    NUM(access("deep", F_OK));
}

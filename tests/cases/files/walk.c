// Path walking: many slashes, dots, climbing above the root, files as directories, long names.
#include "../case.h"
int main(void) {
    scratch();
    MUST(mkdir("a", 0755)), MUST(mkdir("a/b", 0755)), put("a/b/c", "text");
    NUM(access("a//b///c", F_OK)), NUM(access("./a/./b/../b/c", F_OK)), NUM(access("a/b/c/", F_OK)), NUM(access("a/b/c/.", F_OK));
    NUM(access("a/b/c/..", F_OK)), NUM(access("a/missing/../b/c", F_OK)), NUM(access("/../../../proc", F_OK)), NUM(access("//", F_OK));
    NUM(access("a/b/", F_OK)), NUM(access(" ", F_OK)), NUM(access("\xff\xfe", F_OK));
    put("name with space and \n newline", "x");
    NUM(access("name with space and \n newline", F_OK));
    put("\xc3\xa4\xe2\x82\xac", "utf");
    NUM(access("\xc3\xa4\xe2\x82\xac", F_OK));
    put("Case", ""), NUM(access("case", F_OK));
    char path[5000];
    memset(path, '/', 4095);
    path[4095] = 0;
    NUM(access(path, F_OK));
    path[4095] = '/', path[4096] = 0;
    NUM(access(path, F_OK));
    MUST(chmod("a", 0)), MUST(chmod(".", 0755));
    if (setuid(1000))
        return 9;
    NUM(access("a/b", F_OK)), NUM(access("a", F_OK)), NUM(access("a/..", F_OK));
}

// mkstemp, mkdtemp, nftw over a tree, glob, realpath, scandir: the library's own use of the calls.
#include "../case.h"
#include <ftw.h>
#include <glob.h>
static int files, folders, links;
static long bytes;
static int visit(const char *path, const struct stat *s, int type, struct FTW *f) {
    files += type == FTW_F, folders += type == FTW_DP || type == FTW_D, links += type == FTW_SL;
    bytes += type == FTW_F ? s->st_size : 0;
    return 0;
}
static int drop(const char *path, const struct stat *s, int type, struct FTW *f) { return remove(path); }
int main(void) {
    const char *base = scratch();
    char path[500], name[64];
    for (int i = 0; i < 5; i++) {
        sprintf(name, "t/d%d", i);
        if (!i)
            MUST(mkdir("t", 0755));
        MUST(mkdir(name, 0755));
        for (int j = 0; j < 4; j++)
            sprintf(path, "%s/f%d.%s", name, j, j % 2 ? "txt" : "dat"), put(path, "12345");
        sprintf(path, "%s/link", name);
        MUST(symlink("../d0", path));
    }
    NUM(nftw("t", visit, 10, FTW_PHYS));
    say("%d files, %d folders, %d links, %ld bytes", files, folders, links, bytes);
    glob_t g;
    NUM(glob("t/*/*.txt", 0, NULL, &g)), NUM(g.gl_pathc);
    say("%s %s", g.gl_pathv[0], g.gl_pathv[9]);
    char *real = realpath("t/d3/link/../d1/f0.dat", NULL);
    say("%s", real ? real + strlen(base) : errname(errno));
    struct dirent **list;
    int n = scandir("t/d1", &list, NULL, alphasort);
    for (int i = 0; i < n; i++)
        say("%s", list[i]->d_name);
    char file[] = "tempXXXXXX";
    IS(mkstemp(file) >= 0 && strcmp(file, "tempXXXXXX"));
    struct stat s;
    stat(file, &s);
    say("%o", s.st_mode);
    NUM(nftw("t", drop, 10, FTW_PHYS | FTW_DEPTH)), NUM(access("t", F_OK));
}

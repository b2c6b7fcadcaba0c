// chdir, fchdir and getcwd: deep paths, removed and unreachable directories, per process.
#include "../case.h"
int main(void) {
    const char *base = scratch();
    MUST(mkdir("a", 0755)), MUST(mkdir("a/b", 0755)), put("f", "");
    NUM(chdir("a/b"));
    char cwd[5000];
    getcwd(cwd, sizeof cwd);
    IS(!strncmp(cwd, base, strlen(base)) && !strcmp(cwd + strlen(base), "/a/b"));
    NUM(syscall(SYS_getcwd, cwd, 4096) == (long)strlen(cwd) + 1);
    NUM(syscall(SYS_getcwd, cwd, 3));
    NUM(chdir("../../f")), NUM(chdir("missing")), NUM(chdir(""));
    int up = MUST(open("../..", O_RDONLY)), path = MUST(open("..", O_PATH)), file = MUST(open("../../f", O_RDONLY));
    NUM(fchdir(up));
    NUM(access("a/b", F_OK));
    NUM(fchdir(path));
    NUM(access("b", F_OK));
    NUM(fchdir(file)), NUM(fchdir(900));
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(chdir("/"));
    reap("child", pid);
    NUM(access("b", F_OK));
    MUST(chdir("b"));
    NUM(rename("../../a", "../../moved"));
    getcwd(cwd, sizeof cwd);
    say("%s", cwd + strlen(base));
    NUM(rmdir("../b"));
    IS(getcwd(cwd, sizeof cwd) == NULL);
    say("%s", errname(errno));
    NUM(open("x", O_CREAT | O_WRONLY, 0600)), NUM(mkdir("x", 0700));
    NUM(access(".", F_OK)), NUM(access("..", F_OK));
    NUM(chdir(".."));
    getcwd(cwd, sizeof cwd);
    say("%s", cwd + strlen(base));
}

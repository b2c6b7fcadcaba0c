// execveat runs by descriptor, also through AT_EMPTY_PATH and without a name in the file system.
#include "../case.h"
static void try_it(const char *what, int fd, const char *path, int flags) {
    pid_t pid = MUST(fork());
    if (!pid) {
        char *args[] = {"x", "child", NULL}, *env[] = {NULL};
        syscall(SYS_execveat, fd, path, args, env, flags);
        say("%s: %s", what, errname(errno));
        _exit(1);
    }
    reap(what, pid);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        say("running");
        return 5;
    }
    char self[4096] = "";
    MUST(readlink("/proc/self/exe", self, sizeof self - 1));
    int fd = MUST(open(self, O_RDONLY | O_CLOEXEC));
    try_it("empty path", fd, "", AT_EMPTY_PATH);
    try_it("no flag", fd, "", 0);
    *strrchr(self, '/') = 0;
    int folder = MUST(open(self[0] ? self : "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    try_it("relative", folder, self + strlen(self) + 1, 0);
    scratch();
    self[strlen(self)] = '/';
    MUST(symlink(self, "link"));
    try_it("link", AT_FDCWD, "link", 0);
    try_it("link not followed", AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW);
    int memory = MUST(memfd_create("program", MFD_CLOEXEC));
    static char buffer[1 << 16];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
        MUST(write(memory, buffer, n));
    int again = MUST(open("/proc/self/fd/3", O_RDONLY | O_CLOEXEC));
    (void)again;
    char path[64];
    sprintf(path, "/proc/self/fd/%d", memory);
    int reading = MUST(open(path, O_RDONLY | O_CLOEXEC));
    close(memory);
    try_it("memfd", reading, "", AT_EMPTY_PATH);
    try_it("bad flag", fd, "", 0x10);
    try_it("bad descriptor", 900, "", AT_EMPTY_PATH);
}

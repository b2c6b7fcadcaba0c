// clone with CLONE_VM, CLONE_FILES and CLONE_FS apart: what is shared is seen, what is not is a copy.
#include "../case.h"
static volatile int variable;
static int fd = -1;
static int work(void *arg) {
    variable = 5;
    fd = dup(1);
    close(100);
    chdir("/");
    _exit(0);
}
int main(void) {
    scratch();
    static char stack[65536] __attribute__((aligned(16)));
    int flags[] = {0, CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_VM | CLONE_FILES | CLONE_FS};
    for (int i = 0; i < 5; i++) {
        variable = 0;
        MUST(dup2(1, 100));
        char cwd[500];
        pid_t pid = MUST(clone(work, stack + sizeof stack, flags[i] | SIGCHLD, NULL));
        reap("clone", pid);
        getcwd(cwd, sizeof cwd);
        say("%#x: variable %d, descriptor %s, folder %s", flags[i], variable, fcntl(100, F_GETFD) < 0 ? "closed" : "open", strcmp(cwd, "/") ? "own" : "shared");
        if (!strcmp(cwd, "/"))
            scratch();
    }
}

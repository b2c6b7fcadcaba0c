// fork copies memory, descriptors, offsets shared, working directory, umask, mask; the child has its own copies.
#include "../case.h"
static int value = 1;
int main(void) {
    scratch();
    put("f", "abcdefgh");
    int fd = MUST(open("f", O_RDONLY));
    umask(027);
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    int *heap = malloc(sizeof *heap);
    *heap = 10;
    pid_t parent = getpid(), pid = MUST(fork());
    if (!pid) {
        value = 2, *heap = 20;
        char c[3] = "";
        NUM(read(fd, c, 2));
        say("%s", c);
        sigset_t set;
        sigpending(&set);
        NUM(sigismember(&set, SIGUSR1));
        sigprocmask(SIG_BLOCK, NULL, &set);
        NUM(sigismember(&set, SIGUSR1));
        say("umask %03o", umask(0));
        IS(getppid() == parent);
        MUST(chdir("/"));
        close(fd);
        _exit(0);
    }
    reap("child", pid);
    char c[3] = "";
    NUM(read(fd, c, 2));
    say("%s", c);
    NUM(value + *heap);
    say("umask %03o", umask(0));
    NUM(access("f", R_OK));
}

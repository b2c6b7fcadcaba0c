// A file open for writing cannot be executed, and a running program cannot be opened for writing.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        TRY(open(argv[1], O_WRONLY));
        TRY(open(argv[1], O_RDWR | O_TRUNC));
        NUM(truncate(argv[1], 0));
        NUM(unlink(argv[1]));
        return 0;
    }
    scratch();
    int in = MUST(open("/proc/self/exe", O_RDONLY)), out = MUST(open("copy", O_WRONLY | O_CREAT, 0755));
    static char buffer[1 << 16];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        MUST(write(out, buffer, n));
    char *args[] = {"copy", "copy", NULL}, *env[] = {NULL};
    TRY(execve("copy", args, env));
    close(out);
    execve("copy", args, env);
    say("not executed: %s", errname(errno));
}

// A megabyte of arguments arrives whole; one string above 128 KiB, or more than the limit in sum, is E2BIG.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        size_t sum = 0;
        for (int i = 1; i < argc; i++)
            sum += strlen(argv[i]);
        say("argc %d, sum %zu", argc, sum);
        return 0;
    }
    static char *args[1100];
    char *piece = malloc(1024);
    memset(piece, 'x', 1023);
    piece[1023] = 0;
    args[0] = "x";
    for (int i = 1; i <= 1000; i++)
        args[i] = piece;
    char *none[] = {NULL};
    pid_t pid = MUST(fork());
    if (!pid) {
        execve("/proc/self/exe", args, none);
        _exit(9);
    }
    reap("a megabyte", pid);
    char *huge = malloc(131073);
    memset(huge, 'y', 131072);
    huge[131072] = 0;
    char *one[] = {"x", huge, NULL};
    TRY(execve("/proc/self/exe", one, none));
    huge[131071] = 0;
    pid = MUST(fork());
    if (!pid) {
        execve("/proc/self/exe", one, none);
        _exit(9);
    }
    reap("the longest string", pid);
    char *large = malloc(100001);
    memset(large, 'z', 100000);
    large[100000] = 0;
    static char *many[1000];
    for (int i = 0; i < 999; i++)
        many[i] = large;
    TRY(execve("/proc/self/exe", many, none));
}

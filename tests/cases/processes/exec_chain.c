// Fifty executions of itself one after the other, with a descriptor and an argument that grow.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 50) {
        NUM(argc);
        say("%s %s", argv[1], argv[50]);
        int n = 0;
        for (int i = 3; i < 200; i++)
            n += fcntl(i, F_GETFD) >= 0;
        NUM(n);
        return 11;
    }
    char *args[60], text[16];
    sprintf(text, "n%d", argc);
    for (int i = 0; i < argc; i++)
        args[i] = argv[i];
    args[argc] = text, args[argc + 1] = NULL;
    if (argc % 10 == 0)
        dup(1);
    execv("/proc/self/exe", args);
    return 1;
}

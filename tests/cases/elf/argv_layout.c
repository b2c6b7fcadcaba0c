// Arguments and environment lie one behind the other above the stack pointer, with argv[argc] and envp[n] null.
#include "../case.h"
extern char **environ;
int main(int argc, char **argv) {
    if (argc == 1) {
        char *args[] = {"zero", "", "two words", "three", NULL};
        char *env[] = {"A=1", "EMPTY=", "NOEQUALS", NULL};
        execve("/proc/self/exe", args, env);
        return 9;
    }
    NUM(argc);
    for (int i = 0; i < argc; i++)
        say("[%s]", argv[i]);
    IS(argv[argc] == NULL);
    IS(environ == argv + argc + 1);
    for (int i = 0; environ[i]; i++)
        say("env [%s]", environ[i]);
    bool adjoin = true;
    for (int i = 0; i + 1 < argc; i++)
        adjoin &= argv[i] + strlen(argv[i]) + 1 == argv[i + 1];
    NUM(adjoin);
    IS(argv[argc - 1] + strlen(argv[argc - 1]) + 1 == environ[0]);
    IS((uintptr_t)argv[0] > (uintptr_t)argv);
    IS((uintptr_t)(argv - 1) % 16 == 0);
}

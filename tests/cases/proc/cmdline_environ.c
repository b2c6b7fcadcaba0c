// /proc/self/cmdline and environ show arguments and environment as given, and what the program wrote over them.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc == 1) {
        char *args[] = {"name", "with space", "", "last", NULL}, *env[] = {"A=1", "B=two", NULL};
        execve("/proc/self/exe", args, env);
        return 9;
    }
    char text[256];
    int fd = MUST(open("/proc/self/cmdline", O_RDONLY));
    int n = read(fd, text, 256);
    NUM(n);
    for (int i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : '|';
    say("%.*s", n, text);
    fd = MUST(open("/proc/self/environ", O_RDONLY));
    n = read(fd, text, 256);
    for (int i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : '|';
    say("%.*s", n, text);
    strcpy(argv[0], "NAME");
    say("%s", get("/proc/self/cmdline"));
    pid_t pid = MUST(fork());
    if (!pid)
        for (;;)
            pause();
    char path[64];
    sprintf(path, "/proc/%d/cmdline", pid);
    say("%s", get(path));
    sprintf(path, "/proc/%d/environ", pid);
    say("%s", get(path));
    kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    fd = MUST(open("/proc/self/cmdline", O_RDONLY));
    NUM(lseek(fd, 5, SEEK_SET)), NUM(read(fd, text, 4));
    say("%.4s", text);
}

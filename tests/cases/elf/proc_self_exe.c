// /proc/self/exe names the running program and can be opened and executed; argv[0] may be anything.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        say("argv[0] is %s", argv[0]);
        char path[4096] = "";
        IS(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
        IS(!strcmp(path, argv[1]));
        int fd = MUST(open("/proc/self/exe", O_RDONLY));
        char head[4];
        MUST(read(fd, head, 4));
        IS(!memcmp(head, "\177ELF", 4));
        TRY(open("/proc/self/exe", O_WRONLY));
        struct stat a, b;
        MUST(stat("/proc/self/exe", &a));
        MUST(stat(argv[1], &b));
        IS(a.st_ino == b.st_ino);
        return 0;
    }
    char path[4096] = "";
    MUST(readlink("/proc/self/exe", path, sizeof path - 1));
    IS(path[0] == '/');
    execl(path, "another name", path, NULL);
}

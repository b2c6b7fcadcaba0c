// What execve says of files that cannot be executed.
#include "../case.h"
int main(void) {
    scratch();
    char *args[] = {"x", NULL}, *env[] = {NULL};
    put("plain", "no magic\n");
    TRY(execve("plain", args, env));
    chmod("plain", 0755);
    TRY(execve("plain", args, env));
    put("empty", "");
    chmod("empty", 0755);
    TRY(execve("empty", args, env));
    TRY(execve("missing", args, env));
    TRY(execve("plain/below", args, env));
    TRY(execve(".", args, env));
    TRY(execve("", args, env));
    MUST(mkdir("folder", 0755));
    TRY(execve("folder", args, env));
    put("elf", "\177ELF\2\1\1");
    chmod("elf", 0755);
    TRY(execve("elf", args, env));
    unsigned char head[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 183, 0, 1};
    int fd = MUST(open("arm", O_WRONLY | O_CREAT, 0755));
    write(fd, head, 64);
    write(fd, head, 64);
    write(fd, head, 64);
    close(fd);
    TRY(execve("arm", args, env));
    MUST(symlink("loop", "loop"));
    TRY(execve("loop", args, env));
    TRY(execve((char *)8, args, env));
    TRY(execve("plain", (char **)8, env));
    MUST(mkfifo("fifo", 0755));
    TRY(execve("fifo", args, env));
    char name[5000];
    memset(name, 'n', 300);
    name[300] = 0;
    TRY(execve(name, args, env));
    memset(name, 'n', 4999);
    name[4999] = 0;
    TRY(execve(name, args, env));
}

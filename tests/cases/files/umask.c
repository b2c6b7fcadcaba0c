// The mask applies to every kind of new node, is inherited, and is per process.
#include "../case.h"
static void show(const char *path) {
    struct stat s;
    MUST(lstat(path, &s));
    say("%s: %o", path, s.st_mode);
}
int main(void) {
    scratch();
    say("%03o", umask(027));
    say("%03o", umask(07777));
    say("%03o", umask(027));
    close(open("f", O_CREAT | O_WRONLY, 0777)), mkdir("d", 0777), mkfifo("p", 0666), mknod("n", S_IFREG | 0666, 0);
    show("f"), show("d"), show("p"), show("n");
    struct sockaddr_un un = {AF_UNIX, "s"};
    NUM(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&un, sizeof un));
    show("s");
    symlink("x", "l"), show("l");
    pid_t pid = MUST(fork());
    if (!pid) {
        say("%03o", umask(0));
        _exit(0);
    }
    reap("child", pid);
    say("%03o", umask(0));
    mkdir("e", 07777), show("e");
    close(open("g", O_CREAT | O_WRONLY, 07777)), show("g");
}

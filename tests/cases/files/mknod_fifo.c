// FIFOs in the file system: opens that wait for the other end, non-blocking opens, data through them.
#include "../case.h"
int main(void) {
    scratch();
    NUM(mkfifo("p", 0600)), NUM(mkfifo("p", 0600));
    NUM(mknod("q", S_IFIFO | 0600, 0)), NUM(mknod("r", S_IFREG | 0600, 0)), NUM(mknod("d", S_IFDIR | 0600, 0));
    TRY(open("p", O_WRONLY | O_NONBLOCK));
    int r = TRY(open("p", O_RDONLY | O_NONBLOCK)), w = TRY(open("p", O_WRONLY | O_NONBLOCK));
    char c;
    NUM(read(r, &c, 1));
    NUM(write(w, "x", 1));
    close(w);
    NUM(read(r, &c, 1)), NUM(read(r, &c, 1));
    close(r);
    pid_t pid = MUST(fork());
    if (!pid) {
        int fd = open("p", O_WRONLY);
        write(fd, "through", 7);
        _exit(0);
    }
    r = MUST(open("p", O_RDONLY));
    char text[16] = "";
    NUM(read(r, text, 16));
    say("%s", text);
    NUM(read(r, text, 16));
    reap("writer", pid);
    int both = TRY(open("p", O_RDWR));
    NUM(write(both, "y", 1)), NUM(read(both, &c, 1));
    NUM(unlink("p"));
    NUM(write(both, "y", 1)), NUM(read(r, &c, 1));
    MUST(chmod(".", 0777));
    if (setuid(1000))
        return 9;
    NUM(mknod("dev", S_IFCHR | 0600, makedev(1, 3)));
    NUM(mkfifo("own", 0600));
}

// /proc/self/fd: links name their targets; opening one opens the file anew, also a removed one.
#include "../case.h"
int main(void) {
    const char *base = scratch();
    put("f", "0123456789");
    int fd = MUST(open("f", O_RDWR));
    lseek(fd, 5, SEEK_SET);
    char path[64], link[4096];
    sprintf(path, "/proc/self/fd/%d", fd);
    link[MUST(readlink(path, link, 4095))] = 0;
    say("%s", link + strlen(base));
    int again = TRY(open(path, O_RDONLY));
    NUM(lseek(again, 0, SEEK_CUR));
    MUST(rename("f", "g"));
    link[MUST(readlink(path, link, 4095))] = 0;
    say("%s", link + strlen(base));
    MUST(unlink("g"));
    link[MUST(readlink(path, link, 4095))] = 0;
    say("%s", link + strlen(base));
    again = TRY(open(path, O_RDONLY));
    NUM(read(again, link, 10));
    int p[2];
    MUST(pipe(p));
    sprintf(path, "/proc/self/fd/%d", p[0]);
    link[MUST(readlink(path, link, 4095))] = 0;
    say("%.6s", link);
    int w = TRY(open("/proc/self/fd/900", O_RDONLY));
    (void)w;
    sprintf(path, "/dev/fd/%d", p[1]);
    w = TRY(open(path, O_WRONLY));
    NUM(write(w, "x", 1));
    char c;
    NUM(read(p[0], &c, 1));
    sprintf(path, "/proc/self/fd/%d", MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
    link[MUST(readlink(path, link, 4095))] = 0;
    say("%.8s", link);
    TRY(open(path, O_RDWR));
    sprintf(path, "/proc/self/fdinfo/%d", fd);
    say("%.7s", get(path));
    IS(strstr(get(path), "flags:\t0") != NULL);
}

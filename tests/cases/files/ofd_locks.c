// Open-file-description locks belong to the open file: shared by fork and dup, conflict within a process.
#include "../case.h"
static int lock(int fd, int type, long start, long len, int how) {
    struct flock l = {.l_type = type, .l_start = start, .l_len = len};
    return fcntl(fd, how, &l);
}
int main(void) {
    scratch();
    put("f", "0123456789");
    int a = MUST(open("f", O_RDWR)), b = MUST(open("f", O_RDWR)), c = dup(a);
    NUM(lock(a, F_WRLCK, 0, 5, F_OFD_SETLK));
    NUM(lock(b, F_WRLCK, 4, 5, F_OFD_SETLK));
    NUM(lock(c, F_WRLCK, 4, 5, F_OFD_SETLK));
    NUM(lock(b, F_RDLCK, 9, 1, F_OFD_SETLK));
    NUM(lock(b, F_WRLCK, 0, 1, F_SETLK));
    struct flock l = {.l_type = F_WRLCK, .l_len = 0};
    NUM(fcntl(b, F_OFD_GETLK, &l));
    say("type %d start %ld len %ld pid %d", l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid);
    close(a);
    NUM(lock(b, F_WRLCK, 0, 1, F_OFD_SETLK));
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(lock(c, F_WRLCK, 0, 1, F_OFD_SETLK) == 0 ? 0 : errno);
    reap("child shares it", pid);
    close(c);
    NUM(lock(b, F_WRLCK, 0, 0, F_OFD_SETLK));
    l = (struct flock){.l_type = F_WRLCK, .l_pid = 1};
    NUM(fcntl(b, F_OFD_SETLK, &l));
}

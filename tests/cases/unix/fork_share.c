// A listening socket and a connection shared over fork: close in one process leaves the other's.
#include "../case.h"
int main(void) {
    int s[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid_t pid = MUST(fork());
    if (!pid) {
        close(s[0]);
        char b[16] = "";
        read(s[1], b, 15);
        write(s[1], b, strlen(b));
        nap(20);
        _exit(0);
    }
    close(s[1]);
    NUM(write(s[0], "echo me", 7));
    char b[16] = "";
    NUM(read(s[0], b, 15));
    say("%s", b);
    NUM(read(s[0], b, 15));
    reap("child", pid);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid = MUST(fork());
    if (!pid)
        _exit(0);
    reap("child", pid);
    struct pollfd w = {s[0], POLLIN};
    NUM(poll(&w, 1, 0));
    pid = MUST(fork());
    if (!pid)
        _exit(shutdown(s[0], SHUT_RDWR));
    reap("shuts down", pid);
    NUM(read(s[0], b, 1)), NUM(read(s[1], b, 1)), NUM(send(s[1], "x", 1, MSG_NOSIGNAL));
}

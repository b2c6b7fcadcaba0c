// A crash of one process leaves others and what they share in order: pipes end, locks fall, memory stays.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "x");
    int p[2];
    MUST(pipe(p));
    int *m = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        close(p[0]);
        int fd = open("f", O_RDWR);
        struct flock l = {.l_type = F_WRLCK};
        fcntl(fd, F_SETLK, &l);
        m[0] = 7;
        write(p[1], "x", 1);
        *(volatile int *)(uintptr_t)4 = 0;
    }
    close(p[1]);
    char c;
    NUM(read(p[0], &c, 1)), NUM(read(p[0], &c, 1));
    reap("crashed", pid);
    NUM(m[0]);
    int fd = MUST(open("f", O_RDWR));
    struct flock l = {.l_type = F_WRLCK};
    NUM(fcntl(fd, F_SETLK, &l));
}

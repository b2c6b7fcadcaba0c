// A private mapping: own writes stay private, untouched pages follow the file, copies follow fork.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    char page[4096];
    memset(page, 'a', 4096);
    write(fd, page, 4096), write(fd, page, 4096), write(fd, "tail", 4);
    char *m = MUST(mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    m[0] = 'M';
    pwrite(fd, "FF", 2, 0);
    say("%.3s", m);
    say("[%s] %d", m + 8192, m[8192 + 100]);
    m[8192 + 50] = 'z';
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_size);
    pid_t pid = MUST(fork());
    if (!pid) {
        m[1] = 'C';
        say("%.3s", m);
        _exit(0);
    }
    reap("child", pid);
    say("%.3s", m);
    say("%.3s", get("f"));
    char *n = MUST(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 8192));
    say("%s %d", n, n[50]);
}

// A thousand open files, each its own offset; closing in another order frees the lowest numbers.
#include "../case.h"
int main(void) {
    scratch();
    struct rlimit l = {4096, 4096};
    MUST(setrlimit(RLIMIT_NOFILE, &l));
    int fds[1000], bad = 0;
    char name[16];
    for (int i = 0; i < 1000; i++) {
        sprintf(name, "f%d", i);
        fds[i] = MUST(open(name, O_RDWR | O_CREAT, 0600));
        dprintf(fds[i], "file %d", i);
    }
    for (int i = 0; i < 1000; i++) {
        char text[16] = "", want[16];
        pread(fds[i], text, 15, 0);
        sprintf(want, "file %d", i);
        bad += strcmp(text, want) != 0;
    }
    NUM(bad);
    for (int i = 999; i >= 0; i -= 2)
        close(fds[i]);
    for (int i = 1; i < 1000; i += 2)
        bad += open("f0", O_RDONLY) != fds[i];
    NUM(bad);
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d))
        n++;
    IS(n >= 1000);
}

// /dev/zero maps as anonymous memory; /dev/null does not map; memfd maps shared and private.
#include "../case.h"
int main(void) {
    int zero = MUST(open("/dev/zero", O_RDWR)), null = MUST(open("/dev/null", O_RDWR));
    int *p = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0));
    int *s = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, null, 0));
    NUM(p[5] + s[5]);
    pid_t pid = MUST(fork());
    if (!pid) {
        p[5] = 1, s[5] = 2;
        _exit(0);
    }
    reap("child", pid);
    say("%d %d", p[5], s[5]);
    int *again = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0));
    NUM(again[5]);
}

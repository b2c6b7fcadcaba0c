// getrandom: sizes, flags, no repetition, bad pointers.
#include "../case.h"
#include <sys/random.h>
int main(void) {
    unsigned char a[300] = {0}, b[300] = {0};
    NUM(getrandom(a, 300, 0)), NUM(getrandom(b, 300, GRND_NONBLOCK)), NUM(getrandom(b, 16, GRND_RANDOM));
    IS(memcmp(a, b, 300) != 0);
    NUM(getrandom(a, 0, 0)), NUM(getrandom((void *)8, 10, 0)), NUM(getrandom(a, 10, 0x80)), NUM(getrandom(a, 10, GRND_RANDOM | 4));
    static unsigned char big[1 << 20];
    NUM(getrandom(big, sizeof big, 0));
    long counts[256] = {0};
    for (int i = 0; i < 1 << 20; i++)
        counts[big[i]]++;
    int odd = 0;
    for (int i = 0; i < 256; i++)
        odd += counts[i] < 3500 || counts[i] > 4700;
    NUM(odd);
    NUM(getentropy(a, 256)), NUM(getentropy(a, 257));
    pid_t pid = MUST(fork());
    unsigned char c[16];
    getrandom(c, 16, 0);
    int p[2];
    MUST(pipe(p));
    if (!pid)
        _exit(0);
    reap("child", pid);
    IS(strlen(get("/proc/sys/kernel/random/uuid")) == 37);
    char first[40];
    strcpy(first, get("/proc/sys/kernel/random/uuid"));
    IS(strcmp(first, get("/proc/sys/kernel/random/uuid")) != 0);
    char boot[40];
    strcpy(boot, get("/proc/sys/kernel/random/boot_id"));
    IS(strlen(boot) == 37 && !strcmp(boot, get("/proc/sys/kernel/random/boot_id")));
}

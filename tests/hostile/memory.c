// Children fill three gigabytes of memory; the guest has less.
//= timeout 60
#include "hostile.h"
#include <sys/mman.h>
int main(int argc, char **argv) {
    ignore_all();
    for (int i = 0; i < 3; i++)
        if (!fork()) {
            setsid();
            for (int n = 0; n < 64; n++) {
                char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, (i ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
                if (p != MAP_FAILED)
                    memset(p, 1, 16 << 20);
            }
            stay();
        }
    sleep(2);
    ready(argv);
}

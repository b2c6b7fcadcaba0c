// Children fill memory until nothing is left.
//= timeout 60
#include "hostile.h"
#include <sys/mman.h>
int main(int argc, char **argv) {
    ignore_all();
    for (int i = 0; i < 3; i++)
        if (!fork()) {
            setsid();
            for (;;) {
                char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, (i ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
                if (p != MAP_FAILED)
                    memset(p, 1, 16 << 20);
            }
        }
    sleep(2);
    ready(argv);
}

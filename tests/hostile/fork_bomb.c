// Every process forks for ever.
//= timeout 60
#include "hostile.h"
int main(int argc, char **argv) {
    ignore_all();
    struct rlimit limit = {300, 300};
    setrlimit(RLIMIT_NPROC, &limit);
    if (!fork())
        for (;;)
            fork();
    sleep(1);
    ready(argv);
}

// MAP_GROWSDOWN grows by touch below, up to a neighbour.
#include "../case.h"
#include <setjmp.h>
static sigjmp_buf back;
static void handler(int sig) { siglongjmp(back, sig); }
int main(void) {
    static char area[16384];
    stack_t s = {.ss_sp = area, .ss_size = sizeof area};
    sigaltstack(&s, NULL);
    struct sigaction a = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &a, NULL);
    char *base = MUST(mmap(NULL, 4096 * 1024, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(munmap(base, 4096 * 1024));
    char *top = base + 4096 * 1000;
    TRY(mmap(top, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
    top[0] = 1;
    if (!sigsetjmp(back, 1)) {
        for (int i = 1; i <= 20; i++)
            *(volatile char *)(top - i * 4096) = i;
        say("grown");
    } else
        say("fault");
    NUM(top[-20 * 4096]);
}

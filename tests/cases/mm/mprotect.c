// Protection changes on parts of a mapping; each part then faults or not as it should.
#include "../case.h"
#include <setjmp.h>
static sigjmp_buf back;
static void handler(int sig) { siglongjmp(back, sig); }
static int can(volatile char *p, bool write) {
    if (sigsetjmp(back, 1))
        return 0;
    if (write)
        *p = *p;
    else
        (void)*p;
    return 1;
}
static void show(char *a) {
    char text[32];
    for (int i = 0; i < 8; i++)
        text[i] = can(a + i * 4096, true) ? 'w' : can(a + i * 4096, false) ? 'r' : '-';
    text[8] = 0;
    say("%s", text);
}
int main(void) {
    on(SIGSEGV, handler);
    char *a = MUST(mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show(a);
    NUM(mprotect(a + 4096, 2 * 4096, PROT_READ));
    show(a);
    NUM(mprotect(a + 2 * 4096, 4 * 4096, PROT_NONE));
    show(a);
    NUM(mprotect(a, 8 * 4096, PROT_READ));
    show(a);
    NUM(mprotect(a + 3 * 4096 + 1, 4096, PROT_READ));
    NUM(mprotect(a + 3 * 4096, 1, PROT_READ | PROT_WRITE));
    show(a);
    MUST(munmap(a + 5 * 4096, 4096));
    NUM(mprotect(a, 8 * 4096, PROT_READ | PROT_WRITE));
    show(a);
    NUM(mprotect(a, 0, PROT_READ));
    NUM(mprotect(a, 4096, 0x40));
    NUM(mprotect((void *)0x10000, 4096, PROT_READ));
    NUM(mprotect(a, 4096, PROT_WRITE));
    show(a);
    scratch();
    put("f", "text");
    char *f = MUST(mmap(NULL, 4096, PROT_READ, MAP_SHARED, MUST(open("f", O_RDONLY)), 0));
    NUM(mprotect(f, 4096, PROT_READ | PROT_WRITE));
    f = MUST(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, MUST(open("f", O_RDONLY)), 0));
    NUM(mprotect(f, 4096, PROT_READ | PROT_WRITE));
    f[0] = 'T';
    say("%s %s", f, get("f"));
}

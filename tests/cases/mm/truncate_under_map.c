// Pages behind a shrunken file's end are SIGBUS; those of the last page read zero; growing brings zeros.
#include "../case.h"
#include <setjmp.h>
static sigjmp_buf back;
static void handler(int sig) { siglongjmp(back, sig); }
static void touch(const char *what, volatile char *p) {
    int sig = sigsetjmp(back, 1);
    if (sig)
        say("%s: SIG%s", what, sigabbrev_np(sig));
    else
        say("%s: %d", what, *p);
}
int main(void) {
    on(SIGBUS, handler);
    on(SIGSEGV, handler);
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    char page[4096];
    memset(page, 9, 4096);
    for (int i = 0; i < 4; i++)
        write(fd, page, 4096);
    char *s = MUST(mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    char *p = MUST(mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    touch("behind the end", s + 4 * 4096);
    p[3 * 4096] = 5;
    touch("last", s + 3 * 4096);
    MUST(ftruncate(fd, 4096 + 10));
    touch("in the file", s + 4096 + 9);
    touch("rest of the last page", s + 4096 + 10);
    touch("cut off", s + 2 * 4096);
    touch("cut off, private", p + 2 * 4096);
    touch("cut off, private copy", p + 3 * 4096);
    MUST(ftruncate(fd, 4 * 4096));
    touch("grown again", s + 2 * 4096);
    touch("grown again, rest", s + 4096 + 10);
    NUM(pread(fd, page, 10, 5 * 4096));
    // A read into a page that cannot be is EFAULT.
    MUST(ftruncate(fd, 4096));
    NUM(pread(fd, s + 2 * 4096, 10, 0));
}

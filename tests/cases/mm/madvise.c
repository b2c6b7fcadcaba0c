// MADV_DONTNEED drops private pages, keeps shared ones; DONTFORK, WIPEONFORK; the refused ones.
#include "../case.h"
int main(void) {
    char *a = MUST(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(a, 5, 4 * 4096);
    NUM(madvise(a + 4096, 4096, MADV_DONTNEED));
    say("%d %d %d", a[4095], a[4096], a[8192]);
    char *s = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    s[0] = 6;
    NUM(madvise(s, 4096, MADV_DONTNEED));
    NUM(s[0]);
    NUM(madvise(s, 4096, MADV_REMOVE));
    NUM(s[0]);
    NUM(madvise(a, 4096, MADV_REMOVE));
    scratch();
    put("f", "file text");
    char *f = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, MUST(open("f", O_RDONLY)), 0));
    f[0] = 'X';
    NUM(madvise(f, 4096, MADV_DONTNEED));
    say("%s", f);
    NUM(madvise(a, 4096, MADV_WIPEONFORK));
    NUM(madvise(s, 4096, MADV_WIPEONFORK));
    NUM(madvise(a + 2 * 4096, 4096, MADV_DONTFORK));
    pid_t pid = MUST(fork());
    if (!pid) {
        say("%d %d", a[0], a[3 * 4096]);
        NUM(msync(a + 2 * 4096, 4096, MS_ASYNC));
        _exit(0);
    }
    reap("child", pid);
    say("%d %d", a[0], a[8192]);
    int good[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_FREE, MADV_COLD};
    for (int i = 0; i < 9; i++)
        NUM(madvise(a, 4096, good[i]));
    NUM(madvise(a, 4096, 9999));
    NUM(madvise(a + 1, 4096, MADV_DONTNEED));
    NUM(madvise(a, 0, MADV_DONTNEED));
    MUST(munmap(a + 4096, 4096));
    a[8192] = 9;
    NUM(madvise(a, 4 * 4096, MADV_DONTNEED));
    NUM(a[8192]);
}

// Shared file mappings, read and write calls, and other mappings see one another at once, across processes.
#include "../case.h"
int main(void) {
    scratch();
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    MUST(ftruncate(fd, 3 * 4096));
    char *a = MUST(mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    strcpy(a + 4090, "over a page's edge");
    char text[32] = "";
    NUM(pread(fd, text, 18, 4090));
    say("%s", text);
    NUM(pwrite(fd, "written", 7, 100));
    say("%s", a + 100);
    pid_t pid = MUST(fork());
    if (!pid) {
        int other = MUST(open("f", O_RDWR));
        char *b = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 4096));
        say("%s", b + 4090 - 4096 + 6);
        strcpy(b + 200, "from the child");
        NUM(ftruncate(other, 2 * 4096));
        _exit(0);
    }
    reap("child", pid);
    say("%s", a + 4096 + 200);
    struct stat s;
    fstat(fd, &s);
    NUM(s.st_size);
    close(fd);
    unlink("f");
    a[0] = 'k';
    say("%c %s", a[0], a + 100);
    NUM(msync(a, 4096, MS_SYNC));
    NUM(msync(a, 4096, MS_SYNC | MS_ASYNC));
    NUM(msync(a + 1, 4096, MS_SYNC));
    NUM(msync((void *)0x10000, 4096, MS_SYNC));
}

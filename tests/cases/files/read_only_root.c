// Files of the program's root: the executable reads back, sits in a directory and has a stable identity.
#include "../case.h"
int main(void) {
    char self[4096] = "";
    MUST(readlink("/proc/self/exe", self, 4095));
    struct stat a, b;
    MUST(stat(self, &a));
    IS(S_ISREG(a.st_mode) && a.st_size > 8000 && (a.st_mode & 0111));
    int fd = MUST(open(self, O_RDONLY));
    fstat(fd, &b);
    IS(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    char *m = MUST(mmap(NULL, a.st_size, PROT_READ, MAP_PRIVATE, fd, 0));
    char *r = malloc(a.st_size);
    long n = 0;
    while (n < a.st_size)
        n += MUST(pread(fd, r + n, a.st_size - n, n));
    IS(!memcmp(m, r, a.st_size));
    *strrchr(self, '/') = 0;
    DIR *d = opendir(self);
    int found = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        found += e->d_ino == a.st_ino;
    NUM(found);
    IS(access("/etc/passwd", R_OK) == 0);
    IS(access("/dev/null", W_OK) == 0);
    IS(access("/proc/self/stat", R_OK) == 0);
    IS(access("/tmp", W_OK) == 0);
    IS(access("/sys", X_OK) == 0);
}

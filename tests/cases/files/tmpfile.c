// O_TMPFILE has no name until it is linked; with O_EXCL it can never get one.
#include "../case.h"
int main(void) {
    scratch();
    int fd = TRY(open(".", O_TMPFILE | O_RDWR, 0600));
    NUM(write(fd, "secret", 6));
    struct stat s;
    fstat(fd, &s);
    say("links %ld mode %o", (long)s.st_nlink, s.st_mode);
    DIR *d = opendir(".");
    int n = 0;
    while (readdir(d))
        n++;
    NUM(n);
    char path[64], link[300];
    sprintf(path, "/proc/self/fd/%d", fd);
    link[MUST(readlink(path, link, 299))] = 0;
    say("%s", strstr(link, " (deleted)") ? "deleted" : "named");
    NUM(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    say("%s", get("named"));
    fstat(fd, &s);
    NUM(s.st_nlink);
    fd = TRY(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
    sprintf(path, "/proc/self/fd/%d", fd);
    NUM(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
    TRY(open(".", O_TMPFILE | O_RDONLY, 0600));
    TRY(open("named", O_TMPFILE | O_RDWR, 0600));
    FILE *f = tmpfile();
    IS(f && fputs("x", f) >= 0 && fflush(f) == 0);
}

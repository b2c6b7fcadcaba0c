// Renames and links across file systems are EXDEV; writing to read-only virtual files is refused.
#include "../case.h"
int main(void) {
    scratch();
    put("f", "x");
    NUM(rename("f", "/proc/f")), NUM(link("f", "/proc/f")), NUM(rename("f", "/dev/pts/f")), NUM(link("/proc/self/stat", "g"));
    NUM(unlink("/proc/self/stat")), NUM(rmdir("/proc/self")), NUM(symlink("x", "/proc/self/x")), NUM(chmod("/proc/self/stat", 0777));
    NUM(open("/proc/new", O_CREAT | O_WRONLY, 0600)), NUM(truncate("/proc/self/stat", 0)), NUM(mkdir("/proc/self/fd/x", 0700));
    NUM(rename("/proc/self/stat", "/proc/self/stat2"));
    struct stat a, b;
    stat("/proc", &a), stat(".", &b);
    IS(a.st_dev != b.st_dev);
    stat("/proc/self", &b);
    IS(a.st_dev == b.st_dev);
}

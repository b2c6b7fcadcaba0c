// statfs and fstatfs of a writable file system: sane numbers, and that using space shows.
#include "../case.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
int main(void) {
    scratch();
    struct statfs a, b;
    NUM(statfs(".", &a));
    NUM(statfs("/dev/shm", &b));
    IS(b.f_type == 0x01021994);
    IS(a.f_bsize == 4096 && a.f_namelen == 255);
    IS(a.f_blocks > 0 && a.f_bfree <= a.f_blocks && a.f_bavail <= a.f_bfree);
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    static char mega[1 << 20];
    memset(mega, 1, sizeof mega);
    for (int i = 0; i < 8; i++)
        MUST(write(fd, mega, sizeof mega));
    NUM(fstatfs(fd, &b));
    IS(a.f_bfree - b.f_bfree >= 2000 && a.f_bfree - b.f_bfree < 60000);
    NUM(statfs("missing", &a)), NUM(fstatfs(900, &a));
    NUM(statfs("/proc", &a));
    NUM(a.f_type);
    struct statvfs v;
    NUM(statvfs(".", &v));
    IS(v.f_frsize == 4096 && v.f_namemax == 255);
}

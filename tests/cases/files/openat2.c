// openat2: the resolve flags, strict arguments, sizes of its structure.
#include "../case.h"
#include <linux/openat2.h>
static int at2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {flags, mode, resolve};
    return syscall(SYS_openat2, dir, path, &how, sizeof how);
}
int main(void) {
    scratch();
    MUST(mkdir("d", 0755)), MUST(mkdir("d/e", 0755));
    put("d/e/f", "text"), put("outside", "x");
    MUST(symlink("../outside", "d/up")), MUST(symlink("e/f", "d/in")), MUST(symlink("/outside", "d/abs"));
    int d = MUST(open("d", O_PATH | O_DIRECTORY));
    TRY(at2(d, "e/f", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(at2(d, "../outside", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(at2(d, "up", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(at2(d, "in", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(at2(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(at2(d, "e/../e/f", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(at2(d, "in", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
    TRY(at2(d, "../outside", O_RDONLY, 0, RESOLVE_IN_ROOT));
    TRY(at2(d, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT));
    TRY(at2(d, "/e/f", O_RDONLY, 0, RESOLVE_IN_ROOT));
    TRY(at2(AT_FDCWD, "/proc/self/fd/0", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
    TRY(at2(AT_FDCWD, "/proc/self/stat", O_RDONLY, 0, RESOLVE_NO_XDEV));
    TRY(at2(d, "e/f", O_RDONLY, 0644, 0));
    TRY(at2(d, "e/f", 1ULL << 40, 0, 0));
    TRY(at2(d, "e/f", O_RDONLY, 0, 1 << 20));
    TRY(at2(d, "n", O_WRONLY | O_CREAT, 0100644 << 3, 0));
    TRY(at2(d, "n", O_WRONLY | O_CREAT, 0600, 0));
    TRY(at2(d, "e/f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
    char big[64] = {0};
    TRY(syscall(SYS_openat2, d, "e/f", big, 8));
    TRY(syscall(SYS_openat2, d, "e/f", big, 64));
    big[40] = 1;
    TRY(syscall(SYS_openat2, d, "e/f", big, 64));
}

// access and faccessat2 use the real and the effective ids; root may not execute without an x bit.
#include "../case.h"
int main(void) {
    scratch();
    put("f", ""), put("x", ""), MUST(mkdir("d", 0));
    MUST(chmod("f", 0)), MUST(chmod("x", 0010));
    NUM(access("f", R_OK | W_OK)), NUM(access("f", X_OK)), NUM(access("x", X_OK)), NUM(access("d", X_OK)), NUM(access("d", R_OK | W_OK));
    NUM(access("missing", F_OK)), NUM(access("f", 8)), NUM(access("f/x", F_OK));
    MUST(chmod("f", 0640)), MUST(chmod(".", 0755));
    if (setresuid(1000, 1000, 0))
        return 9;
    NUM(access("f", R_OK)), NUM(access("f", F_OK)), NUM(access("d", X_OK)), NUM(access("d/y", F_OK));
    NUM(open("f", O_RDONLY)), NUM(open("new", O_WRONLY | O_CREAT, 0600)), NUM(unlink("f")), NUM(rename("f", "g"));
    if (setresuid(1000, 0, 0))
        return 9;
    NUM(access("f", R_OK));
    NUM(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    MUST(symlink("missing", "l"));
    NUM(faccessat(AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
    NUM(faccessat(AT_FDCWD, "l", F_OK, 0));
    NUM(syscall(SYS_faccessat2, AT_FDCWD, "f", F_OK, 0x8000));
    NUM(syscall(SYS_faccessat2, 1, "", F_OK, AT_EMPTY_PATH));
}

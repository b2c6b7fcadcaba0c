// RENAME_NOREPLACE and RENAME_EXCHANGE.
#include "../case.h"
int main(void) {
    scratch();
    put("a", "A"), put("b", "B"), MUST(mkdir("d", 0755)), put("d/x", "X");
    NUM(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    NUM(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    NUM(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
    say("%s %s", get("b"), get("c"));
    NUM(renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE));
    say("%s %s", get("d"), get("c/x"));
    NUM(renameat2(AT_FDCWD, "c", AT_FDCWD, "missing", RENAME_EXCHANGE));
    NUM(renameat2(AT_FDCWD, "c", AT_FDCWD, "c/x", RENAME_EXCHANGE));
    NUM(renameat2(AT_FDCWD, "b", AT_FDCWD, "z", RENAME_EXCHANGE | RENAME_NOREPLACE));
    NUM(renameat2(AT_FDCWD, "b", AT_FDCWD, "z", 0x80));
    int d = MUST(open("c", O_PATH));
    NUM(renameat2(d, "x", AT_FDCWD, "x", 0));
    NUM(renameat2(900, "x", AT_FDCWD, "x", 0));
    NUM(renameat2(AT_FDCWD, "x", d, "y", 0));
    say("%s", get("c/y"));
}

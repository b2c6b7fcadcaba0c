// The auxiliary vector: what programs and the C library rely on is there and true.
#include "../case.h"
#include <elf.h>
#include <sys/auxv.h>
int main(int argc, char **argv) {
    NUM(getauxval(AT_PAGESZ));
    NUM(getauxval(AT_PHENT));
    IS(getauxval(AT_PHNUM) > 4 && getauxval(AT_PHNUM) < 40);
    IS(getauxval(AT_PHDR) != 0);
    IS(getauxval(AT_ENTRY) != 0);
    NUM(getauxval(AT_CLKTCK));
    NUM(getauxval(AT_SECURE));
    NUM(getauxval(AT_FLAGS));
    IS(getauxval(AT_UID) == getuid());
    IS(getauxval(AT_EUID) == geteuid());
    IS(getauxval(AT_GID) == getgid());
    IS(getauxval(AT_EGID) == getegid());
    IS(getauxval(AT_RANDOM) != 0);
    IS(!strcmp((char *)getauxval(AT_PLATFORM), "x86_64"));
    IS(getauxval(AT_SYSINFO_EHDR) % 4096 == 0);
    IS(getauxval(AT_MINSIGSTKSZ) >= 2048 / 4);
    const char *execfn = (char *)getauxval(AT_EXECFN);
    IS(execfn && access(execfn, X_OK) == 0);
}

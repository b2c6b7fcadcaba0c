// The vDSO is an ELF image with the functions that the C library looks up; they agree with the system calls.
#include "../case.h"
#include <elf.h>
#include <sys/auxv.h>
typedef int (*clock_fn)(clockid_t, struct timespec *);
static void *find(char *base, const char *name) {
    Elf64_Ehdr *eh = (void *)base;
    Elf64_Phdr *ph = (void *)(base + eh->e_phoff);
    Elf64_Dyn *dyn = NULL;
    uintptr_t bias = 0;
    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && !bias)
            bias = (uintptr_t)base + ph[i].p_offset - ph[i].p_vaddr;
        if (ph[i].p_type == PT_DYNAMIC)
            dyn = (void *)(base + ph[i].p_offset);
    }
    Elf64_Sym *symbols = NULL;
    char *strings = NULL;
    size_t size = 0;
    for (; dyn && dyn->d_tag; dyn++) {
        if (dyn->d_tag == DT_SYMTAB)
            symbols = (void *)(dyn->d_un.d_ptr + bias);
        if (dyn->d_tag == DT_STRTAB)
            strings = (void *)(dyn->d_un.d_ptr + bias);
        if (dyn->d_tag == DT_STRSZ)
            size = dyn->d_un.d_val;
    }
    if (!symbols || !strings)
        return NULL;
    for (Elf64_Sym *s = symbols + 1; (char *)s < strings && s->st_name < size; s++)
        if (!strcmp(strings + s->st_name, name) && s->st_shndx)
            return (void *)(s->st_value + bias);
    return NULL;
}
int main(void) {
    char *base = (void *)getauxval(AT_SYSINFO_EHDR);
    IS(base != NULL);
    if (!base)
        return 0;
    IS(!memcmp(base, "\177ELF", 4));
    clock_fn clock = find(base, "__vdso_clock_gettime");
    IS(clock != NULL);
    IS(find(base, "__vdso_gettimeofday") != NULL);
    IS(find(base, "__vdso_time") != NULL);
    IS(find(base, "__vdso_getcpu") != NULL);
    if (clock) {
        struct timespec a, b, c;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a);
        clock(CLOCK_MONOTONIC, &b);
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &c);
        int64_t x = a.tv_sec * 1000000000LL + a.tv_nsec, y = b.tv_sec * 1000000000LL + b.tv_nsec,
                z = c.tv_sec * 1000000000LL + c.tv_nsec;
        IS(x <= y && y <= z);
        NUM(clock(1000, &b));
    }
    say("%s", strstr(get("/proc/self/maps"), "[vdso]") ? "in maps" : "not in maps");
}

// AT_PHDR describes the program that runs: a segment covers main, and PT_PHDR or the first load gives the bias.
#include "../case.h"
#include <elf.h>
#include <sys/auxv.h>
int main(void) {
    Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
    int n = getauxval(AT_PHNUM), loads = 0, interp = 0, stack = -1;
    uintptr_t bias = 0;
    for (int i = 0; i < n; i++)
        if (ph[i].p_type == PT_PHDR)
            bias = (uintptr_t)ph - ph[i].p_vaddr;
    bool covers_main = false, covers_data = false;
    static int data = 5;
    for (int i = 0; i < n; i++) {
        uintptr_t lo = bias + ph[i].p_vaddr, hi = lo + ph[i].p_memsz;
        if (ph[i].p_type == PT_LOAD) {
            loads++;
            if ((uintptr_t)main >= lo && (uintptr_t)main < hi)
                covers_main = ph[i].p_flags == (PF_R | PF_X);
            if ((uintptr_t)&data >= lo && (uintptr_t)&data < hi)
                covers_data = ph[i].p_flags == (PF_R | PF_W);
        }
        if (ph[i].p_type == PT_INTERP)
            interp = strcmp((char *)lo, "/lib64/ld-linux-x86-64.so.2") == 0;
        if (ph[i].p_type == PT_GNU_STACK)
            stack = ph[i].p_flags;
    }
    IS(loads >= 3);
    NUM(covers_main);
    NUM(covers_data);
    NUM(interp);
    NUM(stack);
}

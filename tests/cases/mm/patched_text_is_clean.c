// A program's own text reads as in its file, also around system calls that ran many times.
#include "../case.h"
static long by_hand(void) {
    long r;
    __asm__ volatile("mov $39, %%eax\n.globl the_call\nthe_call: syscall\n cmp $-4096, %%rax" : "=a"(r)::"rcx", "r11", "cc");
    return r;
}
extern unsigned char the_call[];
int main(void) {
    for (int i = 0; i < 1000; i++)
        if (by_hand() != getpid())
            say("wrong");
    char self[4096] = "";
    MUST(readlink("/proc/self/exe", self, 4095));
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[5000];
    unsigned long lo, hi, offset = 0;
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %*s %lx", &lo, &hi, &offset) == 3 && (uintptr_t)the_call >= lo && (uintptr_t)the_call < hi)
            break;
    unsigned char text[2];
    int fd = MUST(open(self, O_RDONLY));
    MUST(pread(fd, text, 2, offset + (uintptr_t)the_call - lo));
    say("in the file: %02x %02x", text[0], text[1]);
    // What runs must behave like it, also when the flags that follow are looked at.
    long r;
    unsigned char below;
    __asm__ volatile("mov $900, %%edi\n mov $3, %%eax\n syscall\n cmp $-4096, %%rax\n seta %1" : "=a"(r), "=r"(below)::"rdi", "rcx", "r11", "cc");
    say("%ld %d", r, below);
}
